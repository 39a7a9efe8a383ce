"""Pixels of many images, a piece at a time and at a bounded number of values an image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.core.gaussians import Gaussian, Moments
from reflowbench.data.packed import Rows

Array = NDArray[np.float64]
MOST_VALUES = 4096
"""Of an image whose pixels are compared; larger ones are averaged down. The covariance has as many rows and columns."""
_CHUNK = 4096


def pixels(images: torch.Tensor, shape: tuple[int, int, int]) -> Array:
    """Pixels of images, averaged over squares of 2, 4, 8 ... a side where there are more than MOST_VALUES.

    Args:
        images: Shape (n, channels * height * width).
        shape: (channels, height, width).

    Returns:
        float64 of shape (n, values).
    """
    channels, height, width = shape
    factor = 1
    while channels * -(-height // factor) * -(-width // factor) > MOST_VALUES and factor < max(height, width):
        factor *= 2
    values = images.double()
    if factor > 1:
        size = (-(-height // factor), -(-width // factor))
        values = torch.nn.functional.adaptive_avg_pool2d(values.reshape(-1, *shape), size).flatten(1)
    found: Array = values.cpu().numpy()
    return found


def fit_pixels(images: Rows, shape: tuple[int, int, int], rows: NDArray[np.intp] | None = None) -> Gaussian:
    """Mean and covariance of the pixels of images, in memory that does not grow with their number.

    Args:
        images: n of them.
        shape: (channels, height, width).
        rows: Which of them; None: all.

    Returns:
        The Gaussian: the same bits as of all pixels at once.

    Raises:
        ValueError: If there are fewer than two.
    """
    n = len(images) if rows is None else len(rows)
    moments = Moments(pixels(images[:0], shape).shape[1])
    for start in range(0, n, _CHUNK):
        stop = start + _CHUNK
        chunk = images[start:stop] if rows is None else images[torch.from_numpy(rows[start:stop])]
        moments.update(pixels(chunk, shape))
    return moments.gaussian()
