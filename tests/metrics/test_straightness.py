import math

import pytest
import torch

from reflowbench.flow.solvers import solve
from reflowbench.metrics.straightness import sample_with_geometry
from tests.oracles import StraightGaussianFlow, gaussian_flow


def starts(n=20, dim=3, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(angle):
    """Turns the first two coordinates by an angle in unit time, at constant speed."""
    return lambda x, t: angle * torch.cat([-x[:, 1:2], x[:, :1], torch.zeros_like(x[:, 2:])], dim=1)


def test_straightness_and_curvature_are_zero_exactly_for_straight_flows():
    straight = gaussian_flow(StraightGaussianFlow)
    end, value, curvature = sample_with_geometry(straight, starts(), "rk4", 10)
    assert torch.allclose(end, straight.forward_map(starts()))
    assert value.abs().max() < 1e-10 and curvature.max() < 1e-6
    _, value, curvature = sample_with_geometry(gaussian_flow(), starts(), "rk4", 10)
    assert (value > 1e-3).all() and (curvature > 1e-3).all()


def test_straightness_is_the_integral_in_its_definition():
    x0 = starts()
    flow = gaussian_flow()
    x1 = flow.forward_map(x0)
    times = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    m, c = flow.mean, flow.variance
    integral = 0
    for t in times:  # on the exact trajectory x_t = t m + sqrt((1-t)^2 + t^2 c) x0
        x = t * m + ((1 - t) ** 2 + t**2 * c).sqrt() * x0
        integral = integral + (x1 - x0 - flow(x, t[None])).square().sum(dim=1) / 2000
    assert torch.allclose(sample_with_geometry(flow, x0, "rk4", 400)[1], integral, rtol=1e-3)


def test_the_samples_are_the_solvers():
    flow = gaussian_flow()
    for solver in ("euler", "heun", "rk4"):
        assert torch.equal(sample_with_geometry(flow, starts(), solver, 7)[0], solve(flow, starts(), solver, 7))


@pytest.mark.parametrize("angle", [0.01, 1.0, math.pi, 7.0])
def test_a_rotation_curves_by_its_angle(angle):
    """On a circle the N - 1 angles between N chords are angle / N each; all but one of them."""
    for steps in (50, 400):
        _, _, curvature = sample_with_geometry(rotation(angle), starts(), "rk4", steps)
        assert curvature.numpy() == pytest.approx(angle * (steps - 1) / steps, rel=1e-4)


def test_the_curvature_of_eulers_own_polygon():
    """Its steps turn by atan(angle / N)."""
    _, _, curvature = sample_with_geometry(rotation(2.0), starts(), "euler", 5)
    assert curvature.numpy() == pytest.approx(4 * math.atan(2 / 5), rel=1e-6)


def test_straightness_of_a_rotation_in_closed_form():
    """Constant speed a r along an arc whose chord is 2 r sin(a / 2)."""
    x0, angle = starts(dim=2), 1.5
    radius = x0.square().sum(dim=1)
    expected = radius * (angle**2 - (2 * math.sin(angle / 2)) ** 2)
    assert torch.allclose(sample_with_geometry(rotation(angle), x0, "rk4", 1000)[1], expected, rtol=1e-4)


def test_one_step_is_straight():
    for solver in ("euler", "heun", "rk4"):
        _, value, curvature = sample_with_geometry(rotation(2.0), starts(), solver, 1)
        assert value.abs().max() < 1e-12 and (curvature == 0).all()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("steps", [1, 4])
def test_a_trajectory_that_is_not_finite_is_neither_straight_nor_curved(value, steps):
    """From its first step or its last on; the others keep their values."""

    def field(x, t, when):
        moved = rotation(2.0)(x, t)
        return moved.index_put((torch.tensor(3), torch.tensor(0)), torch.tensor(value).double()) if t >= when else moved

    whole = sample_with_geometry(rotation(2.0), starts(), "euler", steps)
    for when in (0, 1 - 1 / steps):
        broken = sample_with_geometry(lambda x, t, when=when: field(x, t, when), starts(), "euler", steps)
        for ours, theirs in zip(broken[1:], whole[1:], strict=True):
            assert not ours[3].isfinite() and torch.equal(ours[torch.arange(20) != 3], theirs[torch.arange(20) != 3])
        assert broken[2][3].isnan()


def test_curvature_counts_direction_alone():
    """A change of speed is not straight, and curves nothing; a turn back curves by pi."""
    faster = lambda x, t: (1 + 3 * t[:, None]) * torch.ones_like(x)  # noqa: E731
    _, value, curvature = sample_with_geometry(faster, starts(), "heun", 20)
    assert (value > 0.1).all() and curvature.max() < 1e-6
    back = lambda x, t: torch.where(t[:, None] < 0.5, 1.0, -1.0) * torch.ones_like(x)  # noqa: E731
    assert sample_with_geometry(back, starts(), "euler", 8)[2].numpy() == pytest.approx(math.pi)


def test_a_flow_that_never_moves_is_straight():
    _, value, curvature = sample_with_geometry(lambda x, t: torch.zeros_like(x), starts(), "euler", 4)
    assert (value == 0).all() and (curvature == 0).all()


def test_standing_still_curves_nothing():
    stops = lambda x, t: torch.where(t[:, None] < 0.5, 1.0, 0.0) * torch.ones_like(x)  # noqa: E731
    assert sample_with_geometry(stops, starts(), "euler", 8)[2].max() < 1e-6


def test_small_angles_survive_single_precision():
    """An arc cosine of float32 increments would see nothing below 3e-4."""
    _, _, curvature = sample_with_geometry(rotation(0.001), starts(dim=2).float(), "rk4", 4)
    assert curvature.dtype == torch.float64
    assert curvature.median().item() == pytest.approx(0.00075, rel=0.2)
