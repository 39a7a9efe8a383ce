"""Image sources by their name in `data.source`, scaled for training."""

from __future__ import annotations

from pathlib import Path

import torch

from reflowbench.core.data.images import ImageSet
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.params import DataParams
from reflowbench.core.randomness import generator
from reflowbench.sources import digits, pictures

_SPREAD = 256


def load_images(params: DataParams) -> tuple[ImageSet, ImageSet]:
    """Read the images that the parameters name, scale them to [-1, 1] and hold a share of them out.

    With dequantisation each pixel is spread uniformly over its grey level, once and for all: without
    it the pixels that never vary give the data a singular covariance, and inverted noise collapses
    to a constant there.

    Args:
        params: Source with its path and checksum, how many images of it, the share to hold out, and whether to
            dequantise.

    Returns:
        The images to train on, and those that no model sees, drawn at random.

    Raises:
        ReflowbenchError: If the source is missing, damaged, not that of the checksum or smaller than
            `data.n_images`, or a part would be empty.
    """
    grey, labels, shape, levels = _read(params)
    n = len(grey) if params.n_images is None else params.n_images
    if n > len(grey):
        raise ReflowbenchError(f"data.n_images = {n}: the source {params.source} has only {len(grey)} images")
    n_heldout = int(params.heldout * n)
    if not 0 < n_heldout < n:
        raise ReflowbenchError(f"data.heldout = {params.heldout}: holds out {n_heldout} of {n} images; want 1 or more")
    pixels = grey[:n].float()
    if params.dequantize:
        # On a grid strictly inside the level: float32 rounding can then not reach the next one.
        spread = torch.randint(_SPREAD, pixels.shape, generator=generator(0, "dequantisation"))
        pixels = (pixels + (spread + 0.5) / _SPREAD) / levels
    else:
        pixels = pixels / (levels - 1)
    order = torch.randperm(n, generator=generator(0, "held-out split"))
    train, heldout = (
        ImageSet(pixels[rows] * 2 - 1, labels[rows], shape, levels, params.dequantize)
        for rows in (order[n_heldout:], order[:n_heldout])
    )
    return train, heldout


def _read(params: DataParams) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int, int], int]:
    """Grey levels from 0, labels, (channels, height, width), and the number of levels."""
    if params.path is None:  # parameters of the source images without a path are refused
        return *digits.load_digits(), digits.SHAPE, digits.LEVELS
    return *pictures.read_images(Path(params.path), params.sha256), pictures.LEVELS
