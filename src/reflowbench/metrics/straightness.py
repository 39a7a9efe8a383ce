"""How straight the trajectories of a flow are, and what it makes of given noise."""

from __future__ import annotations

import torch

from reflowbench.core.schemes import FixedSolver
from reflowbench.flow.field import device_of
from reflowbench.flow.path import Velocity
from reflowbench.flow.solvers import trajectory


def sample_with_geometry(
    velocity: Velocity, noise: torch.Tensor, solver: FixedSolver, steps: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Solve the flow and measure how far its trajectories are from straight lines.

    The straightness of a trajectory is the integral over t of |(x1 - x0) - v(x_t, t)|^2 (Liu et al.
    2022, eq. 6), with v the increments of the solver: sum |dx_i|^2 / dt - |x1 - x0|^2. 0 means that
    one Euler step is exact. It counts changes of speed and of direction alike; the total curvature
    counts those of direction alone: the integral of the curvature along the trajectory, which is the
    sum of the angles between the solver's increments.

    Args:
        velocity: The field v(x, t).
        noise: x0, shape (n, dim).
        solver: Fixed-step solver.
        steps: Its number of steps.

    Returns:
        End points x1, shape (n, dim); straightness and total curvature (radians) of each trajectory,
        shape (n,), in float64; neither is finite where a trajectory is not.
    """
    start, noise = noise.device, noise.to(device_of(velocity, noise.device))
    energy = torch.zeros(len(noise), dtype=torch.float64, device=noise.device)
    curvature = torch.zeros_like(energy)
    last, direction = noise, torch.zeros_like(noise, dtype=torch.float64)
    for x in trajectory(velocity, noise, solver, steps):
        increment = (x - last).double()
        energy += increment.square().sum(dim=1) * steps
        unit = torch.nn.functional.normalize(increment, dim=1)
        # Half the angle by its tangent: an arc cosine loses small angles.
        angle = 2 * torch.atan2((unit - direction).norm(dim=1), (unit + direction).norm(dim=1))
        moved = (unit != 0).any(dim=1)  # a step of length 0 has no direction and turns nowhere
        turned = torch.where(moved & (direction != 0).any(dim=1), angle, 0)
        # An increment that is not finite has no direction to turn to, and a single one would count as straight.
        curvature += torch.where(increment.isfinite().all(dim=1), turned, torch.nan)
        last, direction = x, torch.where(moved[:, None], unit, direction)
    displacement = (last - noise).double().square().sum(dim=1)
    return last.clone().to(start), (energy - displacement).to(start), curvature.to(start)
