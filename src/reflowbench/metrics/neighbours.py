"""Quality and coverage by nearest neighbours: precision, recall, density and coverage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reflowbench.core.jackknife import Rows, groups_of
from reflowbench.metrics.measurement import UndefinedError

Array = NDArray[np.float64]
METRICS = ("precision", "recall", "density", "coverage")
MOST = 10_000
"""Samples and references used at most, as in the literature: distances between all pairs are kept in memory."""

_NEAR = 24
"""Nearest rows that are found once, for all groups that are left out; beyond them it is slower."""


def distances(first: Array, second: Array) -> Array:
    """Euclidean distances, shape (n, m), of rows (n, d) and (m, d)."""
    squared = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1) - 2 * (first @ second.T)
    np.maximum(squared, 0, out=squared)
    return np.asarray(np.sqrt(squared, out=squared), dtype=np.float64)


def distances_within(rows: Array) -> Array:
    """Distances between rows (n, d), with infinity for a row's distance to itself, shape (n, n)."""
    found = distances(rows, rows)
    np.fill_diagonal(found, np.inf)
    return found


class Neighbourhood:
    """Distances of each row to its nearest other rows."""

    def __init__(self, within: Array) -> None:
        """Sort the nearest rows.

        Args:
            within: From `distances_within`, shape (n, n).
        """
        self._within = within
        near = np.argpartition(within, min(_NEAR, len(within) - 1), axis=1)[:, :_NEAR]
        self._distances = np.take_along_axis(within, near, axis=1)
        self._rows = near

    def radii(self, k: int, without: Rows | None = None) -> Array:
        """Distance of each row to its k-th nearest other row.

        Args:
            k: Which neighbour, from 1.
            without: Rows that are no neighbours.

        Returns:
            Shape (n,).

        Raises:
            UndefinedError: If there are not k other rows.
        """
        n = len(self._within)
        left = np.zeros(n, dtype=bool)
        if without is not None:
            left[without] = True
        if n - left.sum() <= k:
            raise UndefinedError(f"the {k}-th nearest neighbour needs more than {k} samples, not {n - left.sum()}")
        found = np.full(n, np.inf)
        if k <= self._distances.shape[1]:
            found = np.partition(np.where(left[self._rows], np.inf, self._distances), k - 1, axis=1)[:, k - 1]
        far = np.isinf(found)  # more of the nearest rows are left out than were sorted
        found[far] = np.partition(np.where(left, np.inf, self._within[far]), k - 1, axis=1)[:, k - 1]
        return found


class PrecisionRecall:
    """Compares two sets by the balls that reach each point's k-th neighbour in its own set, with the metrics METRICS.

    Precision: share of samples within a ball of a real image (quality; Kynkaanniemi et al. 2019, eq. 3).
    Recall: share of real images within a ball of a sample (coverage; the same). Density: mean number of
    real balls that a sample is in, over k (quality; Naeem et al. 2020, eq. 3). Coverage: share of real
    images with a sample in their ball (the same, eq. 4).
    """

    def __init__(self, real: Array, real_radii: Array, generated: Array, k: int) -> None:
        """Measure distances.

        Args:
            real: Features, shape (m, d).
            real_radii: Shape (m,), from `Neighbourhood.radii`.
            generated: Features, shape (n, d).
            k: The neighbour of both radii.
        """
        self._across = distances(real, generated)
        self._in_real = self._across < real_radii[:, None]
        self._own = Neighbourhood(distances_within(generated))
        self._k = k

    def values(self, without: Rows | None = None) -> tuple[float, float, float, float]:
        """The metrics, in the order of METRICS.

        Args:
            without: Samples to leave out.

        Returns:
            Precision, recall, density and coverage.

        Raises:
            UndefinedError: If there are not more than k samples.
        """
        radii = self._own.radii(self._k, without)
        in_real = self._in_real
        if without is not None:
            radii[without] = -1  # reaches nothing
            in_real = np.delete(in_real, without, axis=1)
        return (
            float(in_real.any(axis=0).mean()),
            float((self._across < radii).any(axis=1).mean()),
            float(in_real.sum() / in_real.shape[1] / self._k),
            float(in_real.any(axis=1).mean()),
        )

    def left_out(self, groups: int) -> Array:
        """The metrics without each group of samples, shape (4, groups)."""
        n = self._across.shape[1]
        return np.transpose([self.values(group) for group in groups_of(n, groups)])
