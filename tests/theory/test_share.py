"""Warm starts on Gaussians: which shares g(t) of the new field move the end of the flow, and which way."""

from functools import cached_property

import numpy as np
import pytest
import torch

from reflowbench.flow.solvers import solve
from reflowbench.theory.gaussian.targets import DiagonalGaussian

T = np.linspace(0, 1, 20001)


class Wide(DiagonalGaussian):
    """Standard deviations above that of the noise."""

    @cached_property
    def std(self):
        return torch.tensor([1.5, 3.0], dtype=torch.float64)


LAWS = {"narrow": DiagonalGaussian(2), "wide": Wide(2)}
START = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def ends(law, share):
    """Where the flow of (1 - g) v_start + g v_target takes the noise, and the slope of each coordinate of that map."""

    def velocity(x, t):
        g = share(t)[:, None]
        return (1 - g) * law.velocity(x, t) + g * law.straight_velocity(x, t)

    end = solve(velocity, START, "rk4", 400)
    return end, (end - law.mean) / START


def start(a):
    """v_start / x of one coordinate: independent pairs of N(0, 1) and N(0, a^2)."""
    return (T * a**2 - (1 - T)) / ((1 - T) ** 2 + T**2 * a**2)


def target(a):
    """v_target / x: straight lines from x0 to a x0."""
    return (a - 1) / (1 - T + T * a)


def variance_by_round(a, amount, rounds):
    """Var(x_1) / a^2 by round: each goes the share g = 1 - exp(-amount Var(x_t)) to its own pairs' straight lines."""
    field, end, ratios = start(a), a, []
    for _ in range(rounds):
        share = 1 - np.exp(-amount * (1 - T + T * end) ** 2)
        field = (1 - share) * field + share * target(end)
        end = np.exp(np.trapezoid(field, T))
        ratios.append(end**2 / a**2)
    return np.array(ratios)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0, 1.5])
def test_a_constant_share_leaves_the_end_map_exact(law, share):
    end, _ = ends(law, lambda t: torch.full_like(t, share))
    assert torch.allclose(end, law.mean + law.std * START, atol=1e-5)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_falling_share_widens_a_rising_one_narrows_and_neither_moves_the_mean(law):
    """log a_1 - log a = - int g'(t) D(t) dt, D = log(1 - t + t a) - log((1 - t)^2 + t^2 a^2) / 2 > 0 within (0, 1)."""
    for sign, share in ((1, lambda t: 1 - t), (1, lambda t: 0.5 - 0.4 * t**2), (-1, lambda t: t), (-1, torch.sqrt)):
        end, slopes = ends(law, share)
        assert (slopes.max(dim=0).values - slopes.min(dim=0).values).max() < 1e-9, "a line through (0, mean)"
        assert (sign * (slopes[0] - law.std) > 1e-3).all()
    slopes = ends(law, lambda t: 1 - t)[1][0]
    for a, slope in zip(law.std.tolist(), slopes.tolist(), strict=True):
        gap = np.log(1 - T + T * a) - np.log((1 - T) ** 2 + T**2 * a**2) / 2
        assert (gap[1:-1] > 0).all() and np.allclose(gap[[0, -1]], 0)
        assert np.log(slope / a) == pytest.approx(np.trapezoid(gap, T), abs=1e-4)
        assert np.log(slope / a) == pytest.approx(np.trapezoid((1 - T) * (target(a) - start(a)), T), abs=1e-4)


@pytest.mark.parametrize("amount", [0.3, 1.0, 3.0])
def test_relaxation_with_the_variance_takes_both_sides_towards_the_noise(amount):
    """Narrower laws widen, wider ones narrow; the rounds level off, with no force back to the law."""
    narrow, wide = variance_by_round(0.3, amount, 200), variance_by_round(2.0, amount, 200)
    assert (np.diff([1, *narrow]) > -1e-9).all() and (np.diff([1, *wide]) < 1e-9).all()
    assert narrow[-1] > 1.5 and wide[-1] < 0.99
    assert np.ptp(narrow[-20:]) < 0.01 and np.ptp(wide[-20:]) < 0.01
