"""The adaptive solver: exact flows, and scipy's as an oracle."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from reflowbench.errors import ReflowbenchError
from reflowbench.flow.adaptive import solve_adaptive
from tests.oracles import StraightGaussianFlow, gaussian_flow

X = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backward", [False, True])
def test_adaptive_reaches_the_tolerance_and_counts(backward):
    flow, calls = gaussian_flow(), 0

    def count(x, t):
        nonlocal calls
        calls += 1
        assert 0 <= t.item() <= 1, "no network is trained outside"
        return flow(x, t)

    exact = flow.inverse_map(X) if backward else flow.forward_map(X)
    end, nfe = solve_adaptive(count, X, 1e-7, backward=backward)
    assert (end - exact).abs().max() < 1e-5
    assert nfe == calls > 6


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1e20])
def test_a_field_that_cannot_be_solved_is_an_error(factor):
    with pytest.raises(ReflowbenchError, match="dopri5 cannot solve the flow.*adaptive_tolerance"):
        solve_adaptive(lambda x, t: x * factor, X.float(), 1e-3)


def bent(x, t):
    """Oscillates faster towards the end: steps are taken back on the way."""
    return torch.cos(40 * t**4 + x) * 20 * t


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-9])
@pytest.mark.parametrize("field", [gaussian_flow(), bent])
def test_steps_are_those_of_scipy(field, tolerance, backward):
    def slope(t, flat):
        return field(torch.from_numpy(flat).reshape(X.shape), torch.tensor([t], dtype=X.dtype)).numpy().ravel()

    span = (1, 0) if backward else (0, 1)
    expected = solve_ivp(slope, span, X.numpy().ravel(), method="RK45", rtol=tolerance, atol=tolerance)
    end, nfe = solve_adaptive(field, X, tolerance, backward=backward)
    assert nfe == expected.nfev
    assert np.allclose(end.numpy().ravel(), expected.y[:, -1], rtol=1e-9, atol=1e-9)


def test_a_straight_flow_takes_few_steps():
    flow = gaussian_flow(StraightGaussianFlow)
    end, nfe = solve_adaptive(flow, X, 1e-3)
    assert torch.allclose(end, flow.forward_map(X))
    assert nfe <= 2 + 6 * 3


def test_the_start_is_left_as_it_was():
    start = X.clone()
    end, _ = solve_adaptive(lambda x, t: torch.zeros_like(x), start, 1e-3)
    end += 1
    assert torch.equal(start, X)


def test_steps_that_grow_without_bound_are_an_error():
    with pytest.raises(ReflowbenchError, match="at 0.5.* of the way it wants steps of"):
        solve_adaptive(lambda x, t: 1 / (0.5 - t).clamp(min=0).expand_as(x) ** 2, X, 1e-6)
