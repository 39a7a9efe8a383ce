"""Kernel distance: squared maximum mean discrepancy of the cubic polynomial kernel, as in KID."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class KernelDistance:
    """Unbiased squared MMD to real samples with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018, eq. 4).

    Features are first scaled to unit mean square of the real ones: the cube would otherwise make the
    unit of an arbitrary feature network count to the sixth power. On such features it equals
    clean-fid's with one subset of all samples (a test). Written out here because importing clean-fid
    imports all of torchvision: 3 s in each of the many processes that evaluate a model.
    """

    def __init__(self, real: Array) -> None:
        """Take in the reference.

        Args:
            real: Features, shape (m, d), m at least 2.
        """
        self._scale = np.sqrt(np.square(real).mean())
        self._real = real / self._scale
        self._within_real = _mean_within(self._real)

    def __call__(self, generated: Array) -> float:
        """Measure one set of samples.

        Args:
            generated: Features, shape (n, d), n at least 2.

        Returns:
            The distance; unbiased, so it may be slightly negative.
        """
        scaled = generated / self._scale
        across = _kernel(scaled, self._real).mean()
        return float(_mean_within(scaled) + self._within_real - 2 * across)


def _kernel(x: Array, y: Array) -> Array:
    gram = x @ y.T / x.shape[1] + 1
    cubed: Array = gram * gram * gram
    return cubed


def _mean_within(x: Array) -> float:
    """Mean of the kernel over pairs of different samples."""
    kernel = _kernel(x, x)
    n = len(x)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
