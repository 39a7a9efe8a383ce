"""Reverse-time SDEs from data to noise, by Euler-Maruyama."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from reflowbench.flow.field import device_of
from reflowbench.flow.path import Velocity

SdeKind = Literal["published", "marginal"]
Normals = Callable[[str, int], torch.Tensor]
"""(purpose, step) -> standard normal numbers of shape (n, dim) ("noise") or (n, 1) ("jitter")."""


def reverse_sde(
    velocity: Velocity, x: torch.Tensor, steps: int, normals: Normals, scale: float, jitter: float, kind: SdeKind
) -> torch.Tensor:
    """Integrate from data (t = 1) to noise (t = 0).

    published (OCAR-S of arXiv 2412.08175): x <- x + v dt + scale sqrt(|dt|) eps. The authors' script
    takes the root of a negative dt.

    marginal: the reverse SDE with the marginals of the flow, drift v - sigma_t^2 / 2 * score and
    diffusion sigma_t = scale * sqrt(t (1 - t)), which vanishes at both ends (Song et al. 2021, arXiv
    2011.13456). The score is (t v - x) / (1 - t): with x_t = (1 - t) x0 + t x1 and x0 ~ N(0, I)
    independent of x1 it is -E[x0 | x_t] / (1 - t), and E[x0 | x_t] = x - t v. That is exact for the
    base model only; after a round of Reflow noise and image depend on each other, and it is an
    approximation.

    Steps are jittered as dt (1 + jitter xi), row by row. Time advances by the steps really taken, the
    last one takes what is left, and none goes past the end: every row ends at t = 0.

    Args:
        velocity: The field v(x, t).
        x: Data, shape (n, dim).
        steps: Number of steps, each one network evaluation.
        normals: Source of normal numbers.
        scale: Noise scale s; 0 with no jitter is the Euler method.
        jitter: Relative standard deviation of a step.
        kind: Which SDE.

    Returns:
        Noise, shape (n, dim), as an ordinary tensor on the device of x.
    """
    start, x = x.device, x.to(device_of(velocity, x.device))
    left = torch.ones(len(x), 1, dtype=x.dtype, device=x.device)  # time still to go, which is t itself
    with torch.inference_mode():
        for step in range(steps):
            dt = left.clone()
            if step < steps - 1:
                factor = 1 + jitter * normals("jitter", step).to(x.device) if jitter else torch.ones_like(left)
                dt = torch.minimum(left, (factor / steps).clamp(min=0))
            v = velocity(x, left[:, 0])
            sigma = torch.full_like(left, scale)
            drift = v
            if kind == "marginal":
                sigma = scale * (left * (1 - left)).clamp(min=0).sqrt()
                # sigma^2 * score, without the division by 1 - t that sigma^2 cancels
                drift = v - scale**2 * left * (left * v - x) / 2
            x = x - dt * drift
            if scale:
                x = x + sigma * dt.sqrt() * normals("noise", step).to(x.device)
            left = left - dt
    return x.clone().to(start)
