"""The linear path of rectified flow: t = 0 is noise, t = 1 is data."""

from __future__ import annotations

from collections.abc import Callable

import torch

Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""v(x, t): x of shape (n, dim), t of shape (n,) or (1,) in [0, 1] -> velocity of shape (n, dim)."""


def interpolate(x0: torch.Tensor, x1: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Point x_t = (1 - t) x0 + t x1 (Liu et al. 2022, arXiv 2209.03003, eq. 1).

    Args:
        x0: Noise, shape (n, dim).
        x1: Data, shape (n, dim).
        t: Times in [0, 1], shape (n,).

    Returns:
        Tensor of shape (n, dim).
    """
    weight = t[:, None]
    return (1 - weight) * x0 + weight * x1


def target_velocity(x0: torch.Tensor, x1: torch.Tensor) -> torch.Tensor:
    """Velocity of the linear path, x1 - x0, which the network regresses (same shapes)."""
    return x1 - x0
