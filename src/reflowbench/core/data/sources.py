"""Image sources by their name in `data.source`, scaled for training."""

from __future__ import annotations

import torch

from reflowbench.core.config import DataParams
from reflowbench.core.data import digits
from reflowbench.core.data.images import ImageSet
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.randomness import generator

_SPREAD = 256
_SOURCES = {"digits": (digits.load_digits, digits.SHAPE, digits.LEVELS)}


def load_images(params: DataParams) -> ImageSet:
    """Read the images that the parameters name and scale them to [-1, 1].

    With dequantisation each pixel is spread uniformly over its grey level, once and for all: without
    it the pixels that never vary give the data a singular covariance, and inverted noise collapses
    to a constant there.

    Args:
        params: Source, how many images of it, and whether to dequantise.

    Returns:
        The image set.

    Raises:
        ReflowbenchError: If the source is missing, or smaller than `data.n_train`.
    """
    read, shape, levels = _SOURCES[params.source]
    grey, labels = read()
    n = len(grey) if params.n_train is None else params.n_train
    if n > len(grey):
        raise ReflowbenchError(f"data.n_train = {n}: the source {params.source} has only {len(grey)} images")
    pixels = grey[:n].float()
    if params.dequantize:
        # On a grid strictly inside the level: float32 rounding can then not reach the next one.
        spread = torch.randint(_SPREAD, pixels.shape, generator=generator(0, "dequantisation"))
        pixels = (pixels + (spread + 0.5) / _SPREAD) / levels
    else:
        pixels = pixels / (levels - 1)
    return ImageSet(pixels * 2 - 1, labels[:n].clone(), shape, levels, params.dequantize)
