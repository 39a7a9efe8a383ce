"""The adaptive solver of Dormand and Prince (1980), whose NFE the literature on rectified flow reports.

Steps and their control are those of scipy's RK45 (a test: the same NFE and end), which works on NumPy arrays; that of
torchdiffeq imports scipy's integration, half a second in each of the many processes that evaluate a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from reflowbench.core.schemes import ADAPTIVE
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.path import Velocity

_NODES = (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1)
_WEIGHTS: tuple[tuple[float, ...], ...] = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
"""Those of the slopes before each stage; the last row is the step itself, so that its slope begins the next one."""
_ERROR = (-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40)
"""Weights of the slopes in the difference from the embedded scheme of order 4."""
_POWER = 1 / 5
_SAFETY, _LEAST, _MOST = 0.9, 0.2, 10.0
_SMALLEST = 1e-7
"""A step below this, of an interval of length 1, does not move a time in float32."""

_Slope = Callable[[float, torch.Tensor], torch.Tensor]


def solve_adaptive(
    velocity: Velocity, x: torch.Tensor, tolerance: float, *, backward: bool = False
) -> tuple[torch.Tensor, int]:
    """Solve with an adaptive scheme, counting network evaluations.

    Args:
        velocity: The field v(x, t).
        x: Start, shape (n, dim). One step-size control for all of it, on the device of x; a `Field` takes it to its
            own device for each evaluation.
        tolerance: Relative and absolute tolerance.
        backward: Integrate from t = 1 to t = 0.

    Returns:
        The end point, shape (n, dim), and the NFE.

    Raises:
        ReflowbenchError: If no step is small enough, as on a diverged model.
    """
    spent = 0

    def slope(passed: float, state: torch.Tensor) -> torch.Tensor:
        """Of the state, by the part of the way that has passed."""
        nonlocal spent
        spent += 1
        t = 1 - passed if backward else passed
        value = velocity(state, torch.tensor([t], dtype=x.dtype, device=x.device))
        return -value if backward else value

    with torch.no_grad():
        end = _solve(slope, x, tolerance)
    return end.clone(), spent


def _solve(slope: _Slope, x: torch.Tensor, tolerance: float) -> torch.Tensor:
    first = slope(0.0, x)
    passed, step, rejected = 0.0, _first_step(slope, x, first, tolerance), False
    while passed < 1:
        if not step > _SMALLEST:  # or not a number
            raise ReflowbenchError(
                f"{ADAPTIVE} cannot solve the flow (at {passed:.6g} of the way it wants steps of {step:.3g}): the "
                "model has diverged (lower round.lr or base.lr), or "
                f"evaluate.adaptive_tolerance = {tolerance} is too small for float32"
            )
        end = min(1.0, passed + step)
        step = end - passed
        slopes, state = [first], x
        for node, weights in zip(_NODES[1:], _WEIGHTS[1:], strict=True):
            state = x + step * _combined(weights, slopes)
            slopes.append(slope(end if node == 1 else passed + node * step, state))
        error = _size(step * _combined(_ERROR, slopes), x, state, tolerance=tolerance)
        factor = _SAFETY * error**-_POWER if error > 0 else _MOST
        if error < 1:
            passed, x, first = end, state, slopes[-1]
            step *= min(1.0 if rejected else _MOST, factor)
            rejected = False
        else:
            step *= max(_LEAST, factor) if math.isfinite(error) else _LEAST
            rejected = True
    return x


def _combined(weights: tuple[float, ...], slopes: list[torch.Tensor]) -> torch.Tensor:
    total = weights[0] * slopes[0]
    for weight, value in zip(weights[1:], slopes[1:], strict=True):
        if weight:
            total = total.add_(value, alpha=weight)
    return total


def _size(value: torch.Tensor, *states: torch.Tensor, tolerance: float) -> float:
    """Root mean square of a change, in units of what is tolerated."""
    largest = torch.stack([state.abs() for state in states]).amax(dim=0)
    return float((value / (tolerance + tolerance * largest)).square().mean().sqrt())


def _first_step(slope: _Slope, x: torch.Tensor, first: torch.Tensor, tolerance: float) -> float:
    """Hairer, Norsett and Wanner (1993), section II.4; takes an evaluation."""
    size, change = (_size(value, x, tolerance=tolerance) for value in (x, first))
    guess = 1e-6 if size < 1e-5 or change < 1e-5 else 0.01 * size / change
    guess = min(guess, 1.0)
    if not guess > 0:  # the slopes are infinite, or not a number
        return guess
    bend = _size(slope(guess, x + guess * first) - first, x, tolerance=tolerance) / guess
    largest = max(change, bend)
    step = max(1e-6, guess * 1e-3) if largest <= 1e-15 else (0.01 / largest) ** _POWER
    return min(100 * guess, step, 1.0)
