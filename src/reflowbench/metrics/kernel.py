"""Kernel distance: squared maximum mean discrepancy of the cubic polynomial kernel, as in KID."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reflowbench.core.jackknife import groups_of
from reflowbench.metrics.measurement import UndefinedError

Array = NDArray[np.float64]
BLOCK = 2048
"""Rows of the kernel matrix, and columns, that are in memory at a time."""


class KernelDistance:
    """Unbiased squared MMD to real samples with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018, eq. 4).

    Features are first scaled to unit mean square of the real ones: the cube would otherwise make the
    unit of an arbitrary feature network count to the sixth power. On such features it equals
    clean-fid's with one subset of all samples (a test): no random subsets, so no seed. Written out here
    because importing clean-fid imports all of torchvision: 3 s in each of the many processes that
    evaluate a model.
    """

    def __init__(self, real: Array) -> None:
        """Take in the reference.

        Args:
            real: Features, shape (m, d), m at least 2.

        Raises:
            UndefinedError: If there are fewer than two real images, or all their features are zero.
        """
        scale = np.sqrt(np.square(real).mean()) if len(real) > 1 else 0.0
        if not scale > 0:
            raise UndefinedError("the real features are all zero, or of fewer than 2 images")
        self._scale = scale
        self._real = real / scale
        self._within_real = _sum(self._real, self._real, same=True) / (len(real) * (len(real) - 1))

    def __call__(self, generated: Array) -> float:
        """Measure one set of samples.

        Args:
            generated: Features, shape (n, d).

        Returns:
            The distance; unbiased, so it may be slightly negative.

        Raises:
            UndefinedError: If there are fewer than two samples.
        """
        return self.leaving_out(generated, 1)[0]

    def leaving_out(self, generated: Array, groups: int) -> tuple[float, Array]:
        """Measure one set of samples, and again without each of some contiguous groups of them.

        Args:
            generated: Features, shape (n, d).
            groups: Number of groups.

        Returns:
            The distance, and the distances without each group, shape (groups,); NaN where fewer than two are left.

        Raises:
            UndefinedError: If there are fewer than two samples.
        """
        if len(generated) < 2:
            raise UndefinedError(f"it needs at least 2 samples, not {len(generated)}")
        scaled = generated / self._scale
        parts = [scaled[rows] for rows in groups_of(len(scaled), groups)]
        within = np.array([[_sum(a, b, same=a is b) for b in parts] for a in parts])
        across = np.array([_sum(a, self._real) for a in parts])
        sizes = np.array([len(part) for part in parts])
        # Leaving a group out takes its row and its column from the sum over pairs.
        rest = within.sum() - within.sum(axis=0) - within.sum(axis=1) + within.diagonal()
        n = sizes.sum()
        with np.errstate(invalid="ignore", divide="ignore"):
            left_out = self._distance(rest, across.sum() - across, n - sizes)
        return float(self._distance(within.sum(), across.sum(), n)), left_out

    def _distance(self, within: Array, across: Array, n: Array) -> Array:
        distance: Array = within / (n * (n - 1)) + self._within_real - 2 * across / (n * len(self._real))
        return distance


def _sum(x: Array, y: Array, same: bool = False) -> float:
    """Sum of the kernel over pairs of rows, block by block; without a row's pair with itself if x is y."""
    total = sum(_kernel(a, b).sum() for a in _blocks(x) for b in _blocks(y))
    if same:
        squares = np.square(x).sum(axis=1) / x.shape[1] + 1
        total -= (squares * squares * squares).sum()
    return float(total)


def _blocks(x: Array) -> Iterator[Array]:
    return (x[start : start + BLOCK] for start in range(0, len(x), BLOCK))


def _kernel(x: Array, y: Array) -> Array:
    gram = x @ y.T / x.shape[1] + 1
    cubed: Array = gram * gram * gram
    return cubed
