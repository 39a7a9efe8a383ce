"""Linear corrections of a noise law that should be N(0, I)."""

from __future__ import annotations

import torch

LEAST_VARIANCE = 1e-6
"""Directions that vary less are left small: they carry rounding errors, not noise."""


def standardize(noise: torch.Tensor) -> torch.Tensor:
    """Give each coordinate mean 0 and variance 1.

    Args:
        noise: Shape (n, dim).

    Returns:
        Shape (n, dim).
    """
    x = noise.double()
    return ((x - x.mean(dim=0)) / x.var(dim=0, correction=0).clamp(min=LEAST_VARIANCE).sqrt()).float()


def whiten(noise: torch.Tensor) -> torch.Tensor:
    """Give the noise mean 0 and covariance I by the symmetric transform, which moves it least (ZCA).

    Args:
        noise: Shape (n, dim).

    Returns:
        Shape (n, dim).
    """
    x = noise.double()
    x = x - x.mean(dim=0)
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    whitened: torch.Tensor = x @ (vectors * values.clamp(min=LEAST_VARIANCE).rsqrt()) @ vectors.T
    return whitened.float()
