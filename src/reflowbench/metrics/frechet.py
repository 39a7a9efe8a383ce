"""Frechet distance between Gaussians fitted to two sets of features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reflowbench.core.gaussians import Gaussian, fit, squared_wasserstein
from reflowbench.core.jackknife import Rows
from reflowbench.metrics.measurement import UndefinedError

Array = NDArray[np.float64]
SPLITS = (1, 2, 3, 4)
"""Into how many disjoint parts samples are split to see how a distance depends on their number."""


class FrechetDistance:
    """Distance to fixed real features; `core.gaussians` has the formula. Only with Inception features it is FID."""

    def __init__(self, real: Array) -> None:
        """Take in the reference.

        Args:
            real: Features, shape (m, d).

        Raises:
            UndefinedError: If there are fewer than two real images.
        """
        self._real = fit_rows(real)

    def __call__(self, generated: Array) -> float:
        """Measure samples.

        Args:
            generated: Features, shape (n, d).

        Returns:
            The distance, at least 0. Biased upwards for few samples: compare with real images of the same number.

        Raises:
            UndefinedError: If there are fewer than two samples.
        """
        return squared_wasserstein(self._real, fit_rows(generated))

    def at_infinity(self, generated: Array) -> float:
        """Estimate the distance at infinitely many samples; the reference stays the finite one.

        Args:
            generated: Features, shape (n, d).

        Returns:
            The estimate, which may be slightly negative.

        Raises:
            UndefinedError: If the smallest part of the samples would not span the features.
        """
        n, d = generated.shape
        least = n // SPLITS[-1]
        if least <= d:
            raise UndefinedError(f"the extrapolation needs more than {SPLITS[-1]} x {d} samples, not {n}")

        def distance(rows: Rows) -> float:
            return self(generated[rows])

        return extrapolate(distance, n)

    def at(self, generated: Array, n: int) -> float:
        """Estimate the distance that n samples of the same law would have: the bias falls as 1/n.

        Args:
            generated: Features, shape (m, d).
            n: Number of samples.

        Returns:
            The distance of the first n samples if there are n; else a line in 1/n through the distances of all and of
            both halves, which may be slightly negative.

        Raises:
            UndefinedError: If half of the samples would not span the features.
        """
        m, d = generated.shape
        if m >= n:
            return self(generated[:n])
        if m // 2 <= d:
            raise UndefinedError(f"the floor at {n} images needs more than 2 x {d} held-out images, not {m}")
        whole, halves = self(generated), (self(generated[: m // 2]) + self(generated[m // 2 :])) / 2
        return float(whole + (halves - whole) * (m / n - 1))  # 1/m to 2/m is one step


def fit_rows(features: Array) -> Gaussian:
    """Mean and covariance of rows; UndefinedError if there are fewer than two."""
    if len(features) < 2:
        raise UndefinedError(f"a covariance needs at least 2 images, not {len(features)}")
    return fit(features)


def extrapolate(statistic: Callable[[Rows], float], n: int) -> float:
    """Value of a statistic at infinitely many samples, by a line in 1/n (Chong and Forsyth 2020, arXiv 1911.07023).

    At n / j the statistic is averaged over j disjoint parts, so that every point uses all samples. The
    bias that falls as 1/n is removed, that of higher order is not.

    Args:
        statistic: Of rows among n samples, which come in no particular order: the parts are contiguous.
        n: Number of samples.

    Returns:
        The line's value at 1/n = 0.
    """
    points = []
    for parts in SPLITS:
        split = np.array_split(np.arange(n), parts)
        points.append((parts / n, float(np.mean([statistic(rows) for rows in split]))))
    inverse, values = np.transpose(points)
    return float(np.polyfit(inverse, values, 1)[1])


class Projection:
    """The principal components of the real features, fixed for all models: few samples fill few dimensions."""

    def __init__(self, real: Array, dim: int) -> None:
        """Fit.

        Args:
            real: Features, shape (m, d).
            dim: Components to keep.

        Raises:
            UndefinedError: If there are fewer than `dim` features.
        """
        if dim > real.shape[1]:
            raise UndefinedError(f"evaluate.pca = {dim}: there are only {real.shape[1]} features")
        fitted = fit_rows(real)
        self._mean = fitted.mean
        self._axes = np.linalg.eigh(fitted.covariance)[1][:, ::-1][:, :dim]

    def __call__(self, features: Array) -> Array:
        """Project features, shape (n, d), to shape (n, dim)."""
        projected: Array = (features - self._mean) @ self._axes
        return projected
