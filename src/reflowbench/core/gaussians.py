"""Means and covariances streamed in float64, and the distance between the Gaussians that have them.

Arrays are NumPy's; products and eigenvalues are torch's, whose LAPACK takes a tenth of the time at 2048 dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOCK = 1024
"""Rows that are added up at a time, however many come at once: the sums must not depend on that."""


@dataclass(frozen=True)
class Gaussian:
    """A mean and a covariance.

    Attributes:
        mean: Shape (d,).
        covariance: Shape (d, d), symmetric and positive semidefinite; it may be singular.
    """

    mean: Array
    covariance: Array

    @cached_property
    def factor(self) -> Array:
        """F with F F^T = covariance, shape (d, d): Cholesky's, or from eigenvectors where that fails."""
        covariance = torch.from_numpy(self.covariance)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed:
            values, vectors = torch.linalg.eigh(covariance)
            factor = vectors * values.clamp(min=0).sqrt()
        return np.asarray(factor.numpy(), dtype=np.float64)


def squared_wasserstein(first: Gaussian, second: Gaussian) -> float:
    """Squared 2-Wasserstein distance, which is Frechet's: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    With C1 = F F^T, tr (C1 C2)^(1/2) is the sum of the square roots of the eigenvalues of the symmetric
    F^T C2 F: real by construction, where a general matrix square root is not, and many times faster
    (Heusel et al. 2017, eq. 6).

    Args:
        first: A Gaussian; its factor is kept for the next call.
        second: Another one of the same dimension.

    Returns:
        The distance, at least 0.
    """
    difference = first.mean - second.mean
    factor = torch.from_numpy(first.factor)
    product = factor.T @ torch.from_numpy(second.covariance) @ factor
    shared = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum().item()
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    return float(np.maximum(difference @ difference + traces - 2 * shared, 0))  # not a number stays so


class Moments:
    """Running mean and covariance of rows, in memory that does not grow with their number.

    The same rows in the same order give the same bits, however they are cut into batches.
    """

    def __init__(self, dim: int) -> None:
        """Start with no rows.

        Args:
            dim: Values per row.
        """
        self.n = 0
        self._shift = np.zeros(dim)
        self._sum = np.zeros(dim)
        self._outer = torch.zeros(dim, dim, dtype=torch.float64)
        self._waiting = np.empty((0, dim))

    def update(self, rows: NDArray[np.floating]) -> Moments:
        """Add rows, shape (n, d); returns itself."""
        if not self.n and not len(self._waiting) and len(rows):
            self._shift = np.array(rows[0], dtype=np.float64)  # sums of squares far from the mean lose digits
        for start in range(0, len(rows), BLOCK):  # in pieces: no second copy of all rows
            waiting = np.concatenate([self._waiting, np.asarray(rows[start : start + BLOCK], dtype=np.float64)])
            if len(waiting) >= BLOCK:
                self.n += BLOCK
                self._add(waiting[:BLOCK])
                waiting = waiting[BLOCK:].copy()
            self._waiting = waiting
        return self

    def _add(self, rows: Array) -> None:
        centred = rows - self._shift
        self._sum += centred.sum(axis=0)
        block = torch.from_numpy(centred)
        self._outer.addmm_(block.T, block)

    def gaussian(self) -> Gaussian:
        """Mean and unbiased covariance of all rows so far.

        Returns:
            The Gaussian with these moments.

        Raises:
            ValueError: If there are fewer than two rows.
        """
        n = self.n + len(self._waiting)
        if n < 2:
            raise ValueError(f"a covariance needs at least 2 rows, not {n}")
        centred = self._waiting - self._shift
        mean = (self._sum + centred.sum(axis=0)) / n
        outer = self._outer.numpy() + centred.T @ centred
        outer = (outer + outer.T) / 2  # some processors' products of a matrix with itself are not symmetric to the bit
        return Gaussian(self._shift + mean, (outer - n * np.outer(mean, mean)) / (n - 1))


def fit(rows: NDArray[np.floating]) -> Gaussian:
    """Mean and covariance of rows, shape (n, d) with n at least 2."""
    return Moments(rows.shape[1]).update(rows).gaussian()
