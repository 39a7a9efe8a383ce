"""Image sources by their name in `data.source`, scaled for training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from reflowbench.core.randomness import generator
from reflowbench.data.images import ImageSet
from reflowbench.data.packed import SPREAD, PackedImages, Rows
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.params import SOURCES_TO_DOWNLOAD, DataParams
from reflowbench.sources import digits, download, pictures
from reflowbench.sources.cifar import read_cifar10
from reflowbench.sources.found import Found
from reflowbench.sources.idx import read_idx
from reflowbench.sources.mnist5k import read_mnist5k

_PACKED = 256
"""Images of so many grey levels are kept in bytes; those of fewer, which are small, as float32."""


def load_images(params: DataParams) -> tuple[ImageSet, ImageSet]:
    """Read the images that the parameters name, scale them to [-1, 1] and hold a share of them out.

    With dequantisation each pixel is spread uniformly over its grey level, once and for all: without
    it the pixels that never vary give the data a singular covariance, and inverted noise collapses
    to a constant there.

    Args:
        params: Source with its path and checksum, how many images of it, the share to hold out, and whether to
            dequantise.

    Returns:
        The images to train on, and those that no model sees: drawn at random, or the source's own test set.

    Raises:
        ReflowbenchError: If the source is missing, damaged, not that of the checksum or smaller than
            `data.n_images`, or a part would be empty.
    """
    found = _read(params)
    n_own = len(found.levels) - found.tests
    n = n_own if params.n_images is None else params.n_images
    if n > n_own:
        raise ReflowbenchError(f"data.n_images = {n}: the source {params.source} has only {n_own} images")
    kept = torch.cat([torch.arange(n), torch.arange(n_own, len(found.levels))])
    labels, images = found.labels[kept], _scaled(found.levels[kept], found.count, params.dequantize)
    order = torch.randperm(n, generator=generator(0, "held-out split"))
    if params.heldout is None:
        if not found.tests:
            raise ReflowbenchError(
                f"data.heldout = null: {params.path} has no test images of its own; give a share, such as 0.1"
            )
        parts = order, n + torch.randperm(found.tests, generator=generator(0, "test set"))
    else:
        n_heldout = int(params.heldout * n)
        if not 0 < n_heldout < n:
            raise ReflowbenchError(
                f"data.heldout = {params.heldout}: holds out {n_heldout} of {n} images; want 1 or more"
            )
        parts = order[n_heldout:], order[:n_heldout]
    train, heldout = (
        ImageSet(images(rows), labels[rows], found.shape, found.count, params.dequantize) for rows in parts
    )
    return train, heldout


def _scaled(levels: torch.Tensor, count: int, dequantize: bool) -> Callable[[torch.Tensor], Rows]:
    """What gives the images in given rows, scaled."""
    draw = generator(0, "dequantisation")
    if count == _PACKED:
        spread = torch.randint(SPREAD, levels.shape, dtype=torch.uint8, generator=draw) if dequantize else None
        return PackedImages(levels.to(torch.uint8), count, spread).select
    pixels = levels.float()
    if dequantize:
        # On a grid strictly inside the level: float32 rounding can then not reach the next one.
        pixels = (pixels + (torch.randint(SPREAD, levels.shape, generator=draw) + 0.5) / SPREAD) / count
    else:
        pixels = pixels / (count - 1)
    return lambda rows: pixels[rows] * 2 - 1


def _read(params: DataParams) -> Found:
    if params.source == "digits":
        return Found(*digits.load_digits(), digits.SHAPE, digits.LEVELS)
    if params.source == "mnist5k":
        return read_mnist5k()
    path = Path(params.path or "")  # parameters of the other sources without a path are refused
    if params.source in SOURCES_TO_DOWNLOAD:
        if params.download and download.is_incomplete(params.source, path):
            download.fetch(params.source, path)
        elif not path.exists():
            raise download.missing(params.source, path)
    if params.source == "cifar10":
        return read_cifar10(path, params.sha256)
    if params.source == "images":
        return Found(*pictures.read_images(path, params.sha256, params.limit_gib), pictures.LEVELS)
    return read_idx(path, params.sha256, params.source)
