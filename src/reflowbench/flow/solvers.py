"""ODE solvers for dx = v(x, t) dt, forward (noise to data) and backward (inversion).

Direction is nothing but the order of the time grid, so inversion cannot differ from sampling; rows of
one batch may go different ways.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch

from reflowbench.core.schemes import FixedSolver
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.field import device_of
from reflowbench.flow.path import Velocity

_Step = Callable[[Velocity, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(v, x, t, t_next) -> x at t_next; times of shape (1,), or (n,) where rows go different ways."""


def _euler(v: Velocity, x: torch.Tensor, t: torch.Tensor, t_next: torch.Tensor) -> torch.Tensor:
    return x + (t_next - t)[:, None] * v(x, t)


def _heun(v: Velocity, x: torch.Tensor, t: torch.Tensor, t_next: torch.Tensor) -> torch.Tensor:
    dt = (t_next - t)[:, None]
    a = v(x, t)
    b = v(x + dt * a, t_next)
    return x + dt / 2 * (a + b)


def _rk4(v: Velocity, x: torch.Tensor, t: torch.Tensor, t_next: torch.Tensor) -> torch.Tensor:
    dt, middle = (t_next - t)[:, None], (t + t_next) / 2
    a = v(x, t)
    b = v(x + dt / 2 * a, middle)
    c = v(x + dt / 2 * b, middle)
    d = v(x + dt * c, t_next)
    return x + dt / 6 * (a + 2 * b + 2 * c + d)


_STEPS: dict[FixedSolver, _Step] = {"euler": _euler, "heun": _heun, "rk4": _rk4}


def trajectory(
    velocity: Velocity,
    x: torch.Tensor,
    solver: FixedSolver,
    times: int | Sequence[float],
    *,
    backward: bool | torch.Tensor = False,
) -> Iterator[torch.Tensor]:
    """Solve the flow step by step, yielding the state after each.

    Args:
        velocity: The field v(x, t).
        x: Start, shape (n, dim): noise if forward, data if backward.
        solver: Euler (order 1), Heun (2) or the classical Runge-Kutta scheme (4).
        times: Number of equal steps; or the time grid, ascending from 0 to 1. The NFE is the number of
            steps times NFE_PER_STEP[solver].
        backward: Go through the grid from t = 1 to t = 0; a boolean tensor of shape (n,) decides row by row.

    Yields:
        The state after each step, shape (n, dim), on the device of the field. No gradient is kept.

    Raises:
        ReflowbenchError: If a time grid does not ascend from 0 to 1.
    """
    grid = [i / times for i in range(times + 1)] if isinstance(times, int) else list(times)
    if len(grid) < 2 or grid[0] != 0 or grid[-1] != 1 or any(b <= a for a, b in itertools.pairwise(grid)):
        raise ReflowbenchError(f"time grid {grid}: want at least one step, ascending from 0 to 1")
    step = _STEPS[solver]
    x = x.to(device_of(velocity, x.device))
    reverse = torch.as_tensor(backward, device=x.device).reshape(-1)
    ascending = torch.tensor(grid, dtype=x.dtype, device=x.device)  # as exact as the states
    along = [torch.where(reverse, b, a) for a, b in zip(ascending, ascending.flip(0), strict=True)]
    for t, t_next in itertools.pairwise(along):
        with torch.inference_mode():
            x = step(velocity, x, t, t_next)
        yield x


def solve(
    velocity: Velocity,
    x: torch.Tensor,
    solver: FixedSolver,
    times: int | Sequence[float],
    *,
    backward: bool | torch.Tensor = False,
) -> torch.Tensor:
    """End point of `trajectory`, shape (n, dim), as an ordinary tensor (usable in training) on the device of x."""
    end = x
    for end in trajectory(velocity, x, solver, times, backward=backward):  # noqa: B007
        pass
    return end.clone().to(x.device)
