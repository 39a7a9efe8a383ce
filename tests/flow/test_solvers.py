import itertools
import math

import pytest
import torch

from reflowbench.core.schemes import NFE_PER_STEP
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.solvers import solve, trajectory
from tests.oracles import StraightGaussianFlow, gaussian_flow

X = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def error(solver, steps, backward):
    flow = gaussian_flow()
    exact = flow.inverse_map(X) if backward else flow.forward_map(X)
    return (solve(flow, X, solver, steps, backward=backward) - exact).abs().max().item()


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("rk4", 4)])
def test_observed_order(solver, order, backward):
    coarse, fine = error(solver, 40, backward), error(solver, 80, backward)
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
def test_one_step_is_exact_on_a_straight_flow(solver):
    flow = gaussian_flow(StraightGaussianFlow)
    assert torch.allclose(solve(flow, X, solver, 1), flow.forward_map(X))
    assert torch.allclose(solve(flow, X, solver, 1, backward=True), flow.inverse_map(X))


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
def test_nfe_is_what_is_stated(solver):
    calls = 0

    def count(x, t):
        nonlocal calls
        calls += 1
        return torch.zeros_like(x)

    solve(count, X, solver, 7)
    assert calls == 7 * NFE_PER_STEP[solver]


def test_trajectory_ends_where_solve_does():
    states = list(trajectory(gaussian_flow(), X, "heun", 5))
    assert len(states) == 5
    assert torch.equal(states[-1], solve(gaussian_flow(), X, "heun", 5))


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
def test_rows_may_go_different_ways(solver):
    backward = torch.arange(len(X)) % 3 == 0
    mixed = solve(gaussian_flow(), X, solver, 7, backward=backward)
    for direction in (False, True):
        alone = solve(gaussian_flow(), X, solver, 7, backward=direction)
        assert torch.allclose(mixed[backward == direction], alone[backward == direction])


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
@pytest.mark.parametrize("backward", [False, True])
def test_any_time_grid(solver, backward):
    """The field v = t integrates over the grid given; equal steps are the grid that their number names."""
    grid = [0.0, 0.1, 0.15, 0.7, 1.0]
    seen = []

    def field(x, t):
        seen.append(t.item())
        return t[:, None].expand_as(x)

    end = solve(field, torch.zeros(1, 1, dtype=torch.float64), solver, grid, backward=backward).item()
    if solver == "euler":
        start = grid[1:] if backward else grid[:-1]
        sign = -1 if backward else 1
        assert end == pytest.approx(
            sign * sum(t * (b - a) for t, (a, b) in zip(start, itertools.pairwise(grid), strict=True))
        )
        assert seen == (start[::-1] if backward else start), "as exact as the states"
    else:
        assert end == pytest.approx(-0.5 if backward else 0.5)
    equal = [0.0, 0.25, 0.5, 0.75, 1.0]
    for way in (False, True):
        ours, theirs = (solve(gaussian_flow(), X, solver, times, backward=way) for times in (equal, 4))
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("grid", [[], [0.0], [0.0, 0.5], [0.1, 1.0], [0.0, 0.6, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0]])
def test_a_bad_time_grid_is_refused(grid):
    with pytest.raises(ReflowbenchError, match="want at least one step, ascending from 0 to 1"):
        solve(gaussian_flow(), X, "euler", grid)


def test_results_can_be_trained_on():
    """Solving runs in inference mode; what comes out must not be an inference tensor."""
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    (solve(gaussian_flow(), X, "euler", 2) * weight).sum().backward()
    assert weight.grad is not None
