import math

import pytest
import torch

from reflowbench.flow.loss import HUBER_SCALE, velocity_loss
from reflowbench.flow.path import interpolate, target_velocity
from tests.oracles import gaussian_flow

X0 = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
X1 = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


def test_path_ends_at_its_ends_with_constant_velocity():
    assert torch.equal(interpolate(X0, X1, torch.zeros(6)), X0)
    assert torch.equal(interpolate(X0, X1, torch.ones(6)), X1)
    early, late = interpolate(X0, X1, torch.full((6,), 0.25)), interpolate(X0, X1, torch.full((6,), 0.75))
    assert torch.allclose((late - early) / 0.5, target_velocity(X0, X1), atol=1e-6)


def test_mse_of_the_zero_field_is_the_mean_square_of_the_target():
    loss = velocity_loss(lambda x, t: torch.zeros_like(x), X0, X1, torch.rand(6), "mse")
    assert loss.item() == pytest.approx((X1 - X0).square().mean().item())


def test_pseudo_huber_has_one_norm_per_sample():
    c = HUBER_SCALE * math.sqrt(4)
    loss = velocity_loss(lambda x, t: torch.zeros_like(x), X0, X1, torch.rand(6), "pseudo_huber")
    expected = sum(math.sqrt(row.square().sum().item() + c * c) - c for row in X1 - X0) / 6
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert velocity_loss(lambda x, t: X1 - X0, X0, X1, torch.rand(6), "pseudo_huber").item() == 0


def test_the_gaussian_velocity_minimises_the_loss():
    """The oracle is E[x1 - x0 | x_t]: any perturbation of it costs."""
    flow = gaussian_flow()
    draw = torch.Generator().manual_seed(2)
    x0 = torch.randn(200_000, 3, dtype=torch.float64, generator=draw)
    x1 = flow.forward_map(torch.randn(200_000, 3, dtype=torch.float64, generator=draw))
    t = torch.rand(200_000, dtype=torch.float64, generator=draw)
    best = velocity_loss(flow, x0, x1, t, "mse")
    for change in (lambda x, t: 0.05 + 0 * x, lambda x, t: 0.05 * x, lambda x, t: 0.05 * t[:, None] * x):
        assert velocity_loss(lambda x, t, c=change: flow(x, t) + c(x, t), x0, x1, t, "mse") > best
