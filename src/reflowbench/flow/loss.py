"""Velocity regression losses."""

from __future__ import annotations

import math

import torch

from reflowbench.core.schemes import Loss
from reflowbench.flow.path import Velocity, interpolate, target_velocity

HUBER_SCALE = 0.00054


def velocity_loss(
    velocity: Velocity,
    x0: torch.Tensor,
    x1: torch.Tensor,
    t: torch.Tensor,
    kind: Loss,
) -> torch.Tensor:
    """Mean loss of the velocity regression over a batch.

    mse is the mean squared error over batch and coordinates. pseudo_huber is
    sqrt(|u - v|^2 + c^2) - c with c = 0.00054 sqrt(dim), one norm per sample (the authors' script
    takes one norm over the whole batch, which couples the samples' gradients).

    Args:
        velocity: The network.
        x0: Noise, shape (n, dim).
        x1: Data, shape (n, dim).
        t: Times, shape (n,).
        kind: Which loss.

    Returns:
        Scalar tensor.
    """
    error = velocity(interpolate(x0, x1, t), t) - target_velocity(x0, x1)
    if kind == "mse":
        return error.square().mean()
    c = HUBER_SCALE * math.sqrt(error.shape[1])
    return ((error.square().sum(dim=1) + c * c).sqrt() - c).mean()
