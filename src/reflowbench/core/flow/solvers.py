"""ODE solvers for dx = v(x, t) dt, forward (noise to data) and backward (inversion).

Direction is nothing but the order of the time grid, so inversion cannot drift from sampling.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Literal

import torch

from reflowbench.core.flow.path import Velocity

FixedSolver = Literal["euler", "heun", "rk4"]
_Step = Callable[[Velocity, torch.Tensor, float, float], torch.Tensor]


def _at(x: torch.Tensor, t: float) -> torch.Tensor:
    return torch.full((1,), t, dtype=x.dtype, device=x.device)


def _euler(v: Velocity, x: torch.Tensor, t: float, dt: float) -> torch.Tensor:
    return x + dt * v(x, _at(x, t))


def _heun(v: Velocity, x: torch.Tensor, t: float, dt: float) -> torch.Tensor:
    a = v(x, _at(x, t))
    b = v(x + dt * a, _at(x, t + dt))
    return x + dt / 2 * (a + b)


def _rk4(v: Velocity, x: torch.Tensor, t: float, dt: float) -> torch.Tensor:
    middle = _at(x, t + dt / 2)
    a = v(x, _at(x, t))
    b = v(x + dt / 2 * a, middle)
    c = v(x + dt / 2 * b, middle)
    d = v(x + dt * c, _at(x, t + dt))
    return x + dt / 6 * (a + 2 * b + 2 * c + d)


_STEPS: dict[str, tuple[_Step, int]] = {"euler": (_euler, 1), "heun": (_heun, 2), "rk4": (_rk4, 4)}


def nfe_per_step(solver: FixedSolver) -> int:
    """Network evaluations per sample in one step of a fixed-step solver (also its order)."""
    return _STEPS[solver][1]


def trajectory(
    velocity: Velocity, x: torch.Tensor, solver: FixedSolver, steps: int, *, backward: bool = False
) -> Iterator[torch.Tensor]:
    """Solve the flow on `steps` equal time steps, yielding the state after each.

    Args:
        velocity: The field v(x, t).
        x: Start, shape (n, dim): noise if forward, data if backward.
        solver: Euler (order 1), Heun (2) or the classical Runge-Kutta scheme (4).
        steps: Number of steps; the NFE is steps * nfe_per_step(solver).
        backward: Integrate from t = 1 to t = 0.

    Yields:
        The state after each step, shape (n, dim). No gradient is kept.
    """
    step, _ = _STEPS[solver]
    grid = [i / steps for i in range(steps + 1)]
    if backward:
        grid.reverse()
    for t, t_next in itertools.pairwise(grid):
        with torch.inference_mode():
            x = step(velocity, x, t, t_next - t)
        yield x


def solve(
    velocity: Velocity, x: torch.Tensor, solver: FixedSolver, steps: int, *, backward: bool = False
) -> torch.Tensor:
    """End point of `trajectory`, shape (n, dim), as an ordinary tensor (usable in training)."""
    end = x
    for end in trajectory(velocity, x, solver, steps, backward=backward):  # noqa: B007
        pass
    return end.clone()


def solve_adaptive(
    velocity: Velocity, x: torch.Tensor, tolerance: float, *, backward: bool = False
) -> tuple[torch.Tensor, int]:
    """Solve with dopri5 of torchdiffeq, counting network evaluations.

    Args:
        velocity: The field v(x, t).
        x: Start, shape (n, dim). One step-size control for all of it.
        tolerance: Relative and absolute tolerance.
        backward: Integrate from t = 1 to t = 0.

    Returns:
        The end point, shape (n, dim), and the NFE.
    """
    from torchdiffeq import odeint

    nfe = 0

    def field(t: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        nonlocal nfe
        nfe += 1
        return velocity(state, t.reshape(1))

    times = torch.tensor([1.0, 0.0] if backward else [0.0, 1.0], dtype=x.dtype)
    with torch.no_grad():
        path = odeint(field, x, times, rtol=tolerance, atol=tolerance, method="dopri5")
    return path[-1].clone(), nfe
