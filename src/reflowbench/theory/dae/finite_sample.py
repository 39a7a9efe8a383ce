"""What finitely many samples change in the recursion of a linear denoising autoencoder: an expansion in 1 / n.

Given a round's rows x with second moments S = X^T X / n and their noise E, the noisy rows have the second moments
M + Delta with M = S + q I and Delta = (X^T E + E^T X + E^T E) / n - q I. Least squares is W = G + R (M + Delta)^(-1),
where G = S M^(-1), and R = X^T E / n - G Delta has mean 0. Everything is in the basis of the real data's eigenvectors,
in which the mean of S stays diagonal. Off-diagonal fluctuations count: they mix eigenvectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reflowbench.theory.dae.recursion import Array, gain

SMALL = 0.25
"""Largest squared coefficient of variation of the data's variance for which two orders of the expansion are used."""


@dataclass(frozen=True)
class FiniteSample:
    """Law of the gains u^T W u along the real data's eigenvectors u, over repetitions.

    Attributes:
        mean: Mean to order 1 / n, shape (rounds + 1, k).
        std: Standard deviation to order n^(-1/2), same shape.
        valid: Whether the expansion can be used: in this and all earlier rounds, fluctuations of the data's variance
            are small beside it. Same shape.
    """

    mean: Array
    std: Array
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class _Data:
    """Rows of a round: mean of S (a diagonal, shape (d,)), variance of its entries and E x_i^2 x_k^2, shape (d, d)."""

    variance: Array
    fluctuation: Array
    square: Array

    def product_variance(self) -> Array:
        """Variance of x_i x_k over rows."""
        return self.square - np.diag(self.variance**2)


def _real_data(spectrum: Array, n: int) -> _Data:
    square = np.outer(spectrum, spectrum) * (1 + 2 * np.eye(len(spectrum)))
    return _Data(spectrum, (square - np.diag(spectrum**2)) / n, square)


@dataclass(frozen=True)
class _Fit:
    """Least squares on a round's rows.

    Attributes:
        q: Variance of the noise.
        n: Rows.
        s: Mean of S, shape (d,).
        g: Gains, shape (d,).
        r_square: E R_ik^2, shape (d, d).
        r_crossed: E R_ik R_ki, shape (d, d).
        bias: Mean of W_ii - G_ii given the rows, shape (d,).
    """

    q: float
    n: int
    s: Array
    g: Array
    r_square: Array
    r_crossed: Array
    bias: Array

    @classmethod
    def of(cls, data: _Data, q: float, n: int) -> _Fit:
        s, g = data.variance, gain(data.variance, q)
        r_square = ((1 - g) ** 2 * s)[:, None] + np.outer(g**2, s + q)
        tilt = np.outer((1 - g) * s, g)
        r_crossed = q * np.outer(g, g) - tilt - tilt.T
        for moments in (r_square, r_crossed):
            np.fill_diagonal(moments, (1 - 2 * g) ** 2 * s + 2 * g**2 * q)
        return cls(q, n, s, g, r_square * q / n, r_crossed * q / n, g * (1 - g) * (g.sum() + g) / n)

    def _resolvent(self, order: int) -> Array:
        """Products of 1 / (s + q) over (i, k), or over (i, k, i): divided differences of 1 / (s + q) up to sign."""
        inverse = 1 / (self.s + self.q)
        return np.asarray(np.outer(inverse ** (order - 1), inverse))

    def gain_mean(self, data: _Data) -> Array:
        """E W_ii: the gain's curvature lowers it, the bias raises it."""
        curvature: Array = self.q * (data.fluctuation * self._resolvent(3)).sum(axis=1)
        return self.g + self.bias - curvature

    def gain_variance(self, data: _Data) -> Array:
        """Var W_ii: what the rows and what their noise contribute."""
        inverse = 1 / (self.s + self.q)
        return np.diag(data.fluctuation) * (self.q * inverse**2) ** 2 + np.diag(self.r_square) * inverse**2

    def made(self, data: _Data, rows: int) -> _Data:
        """Law of a random subset of the rows W (x + e')."""
        s, g, q = self.s, self.g, self.q
        diagonal = np.eye(len(s))
        variance = s * g + q**2 * (data.fluctuation * self._resolvent(3)).sum(axis=1)
        variance += 2 * s * self.bias + (self.r_square / (s + q)).sum(axis=1)
        noise = q * np.add.outer(s, s) + q**2  # of x_i e_k + e_i x_k + e_i e_k
        fluctuation = (1 - q**2 * self._resolvent(2)) ** 2 * data.fluctuation
        weighted = g**2 * self.r_square
        fluctuation += weighted + weighted.T + 2 * np.outer(g, g) * self.r_crossed
        left_out = data.product_variance() * (1 / rows - 1 / self.n)
        fluctuation += np.outer(g, g) ** 2 * (noise * (1 + diagonal) / rows + left_out)
        square = np.outer(g, g) ** 2 * (data.square + noise * (1 + 2 * diagonal))
        return _Data(variance, fluctuation, square)


def _mixed(real: _Data, made: _Data, share: float) -> _Data:
    return _Data(
        share * real.variance + (1 - share) * made.variance,
        share**2 * real.fluctuation + (1 - share) ** 2 * made.fluctuation,
        share * real.square + (1 - share) * made.square,
    )


def finite_sample(
    spectrum: Sequence[float], dim: int, noise: float, real: float, rounds: int, samples: int
) -> FiniteSample:
    """Gains of least squares with n samples a round, where synthetic data replace those of the round before.

    Args:
        spectrum: Eigenvalues of the real data's covariance, k of them.
        dim: Dimension of the data, at least k; the directions without variance hold noise that is fitted, too.
        noise: q.
        real: r, share of real data from round 1 on.
        rounds: How many rounds follow round 0.
        samples: n.

    Returns:
        Mean and standard deviation of the gains of rounds 0 to `rounds`.
    """
    start = np.zeros(dim)
    start[: len(spectrum)] = spectrum
    n_real = round(real * samples)
    data = _real_data(start, samples)
    laws = []
    for _ in range(rounds + 1):
        fit = _Fit.of(data, noise, samples)
        valid = np.diag(data.fluctuation) < SMALL * data.variance**2
        laws.append((fit.gain_mean(data), np.sqrt(fit.gain_variance(data)), valid))
        if n_real == samples:
            data = _real_data(start, samples)
        else:
            made = fit.made(data, samples - n_real)
            data = _mixed(_real_data(start, n_real), made, n_real / samples) if n_real else made
    mean, std, valid = (np.stack(parts)[:, : len(spectrum)] for parts in zip(*laws, strict=True))
    return FiniteSample(mean, std, np.logical_and.accumulate(valid))
