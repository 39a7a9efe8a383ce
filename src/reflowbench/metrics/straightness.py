"""How straight the trajectories of a flow are, and what it makes of given noise."""

from __future__ import annotations

import torch

from reflowbench.core.flow.path import Velocity
from reflowbench.core.flow.schemes import FixedSolver
from reflowbench.core.flow.solvers import trajectory


def sample_with_straightness(
    velocity: Velocity, noise: torch.Tensor, solver: FixedSolver, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve the flow and measure how far its trajectories are from straight lines.

    The straightness of a trajectory is the integral over t of |(x1 - x0) - v(x_t, t)|^2 (Liu et al.
    2022, eq. 6), with v the increments of the solver: sum |dx_i|^2 / dt - |x1 - x0|^2. 0 means that
    one Euler step is exact.

    Args:
        velocity: The field v(x, t).
        noise: x0, shape (n, dim).
        solver: Fixed-step solver.
        steps: Its number of steps.

    Returns:
        End points x1, shape (n, dim), and the straightness of each trajectory, shape (n,), in float64.
    """
    energy = torch.zeros(len(noise), dtype=torch.float64)
    last = noise
    for x in trajectory(velocity, noise, solver, steps):
        energy += (x - last).double().square().sum(dim=1) * steps
        last = x
    displacement = (last - noise).double().square().sum(dim=1)
    return last.clone(), energy - displacement
