"""Laws of the time t that the velocity loss is taken at."""

from __future__ import annotations

import math

import torch

from reflowbench.core.schemes import TimeLaw

STEEPNESS = 4.0


def draw_times(law: TimeLaw, count: int, draw: torch.Generator) -> torch.Tensor:
    """Draw times.

    uniform is rectified flow's. u_shaped has the density cosh(a (t - 1/2)) up to its constant, with
    a = 4: the ends count more, as Rectified Flow++ does in rounds of Reflow (Lee et al. 2024, arXiv
    2405.20320, section 4). logit_normal is the sigmoid of N(0, 1): the middle counts more (Esser et
    al. 2024, arXiv 2403.03206).

    Args:
        law: Which law.
        count: How many.
        draw: Source of randomness.

    Returns:
        Times in [0, 1], shape (count,).
    """
    if law == "logit_normal":
        return torch.randn(count, generator=draw).sigmoid()
    uniform = torch.rand(count, generator=draw)
    if law == "uniform":
        return uniform
    return (0.5 + torch.asinh((2 * uniform - 1) * math.sinh(STEEPNESS / 2)) / STEEPNESS).clamp(0, 1)
