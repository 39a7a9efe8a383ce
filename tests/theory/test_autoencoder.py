"""Linear autoencoders that are trained on their own outputs."""

import math

import numpy as np
import pytest
import torch

from reflowbench.theory.dae.autoencoder import Setting, gradient_descent, least_squares, train_rounds
from reflowbench.theory.dae.recursion import population_gains
from reflowbench.theory.params import FitParams

FIT = FitParams(steps=100, batch=500, lr=1.0)


def rows(n, d, seed=0, scale=0.5):
    x = torch.randn(3, n, d, generator=torch.Generator().manual_seed(seed)) * torch.linspace(1, 0.4, d)
    noise = torch.randn(3, n, d, generator=torch.Generator().manual_seed(seed + 1))
    return x, x + scale * noise


def test_least_squares_leaves_residuals_orthogonal_to_the_noisy_rows():
    x, y = rows(400, 4)
    w = least_squares(x, y, torch.zeros(3, 4, 4, dtype=torch.float64))
    residual = x.double() - y.double() @ w.transpose(1, 2)
    assert (residual.transpose(1, 2) @ y.double()).abs().max() < 1e-2 * 400 * 1e-2


def test_least_squares_with_fewer_rows_than_dimensions_fits_them_with_the_least_norm():
    x, y = rows(3, 5)
    w = least_squares(x, y, torch.zeros(3, 5, 5, dtype=torch.float64))
    assert torch.allclose(y.double() @ w.transpose(1, 2), x.double(), atol=1e-4)
    assert torch.allclose(w, (torch.linalg.pinv(y.double()) @ x.double()).transpose(1, 2), atol=1e-4)


def test_a_step_of_gradient_descent_is_that_of_autograd():
    x, y = rows(50, 4)
    start = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    stepped = gradient_descent(FitParams(steps=2, batch=50, lr=0.5))(x, y, start)  # the mean of its second step alone
    w = start.float().requires_grad_(True)
    for _ in range(2):
        loss = (x - y @ w.transpose(1, 2)).square().sum(dim=2).mean(dim=1)
        (gradient,) = torch.autograd.grad(loss.sum(), w)
        rate = 0.5 / y.square().sum(dim=2).mean(dim=1)
        w = (w - rate[:, None, None] * gradient / 2).detach().requires_grad_(True)
    assert torch.allclose(stepped.float(), w, atol=1e-6)


def test_gradient_descent_comes_as_close_to_least_squares_as_the_samples_let_one_see():
    x, y = rows(20000, 4)
    start = torch.zeros(3, 4, 4, dtype=torch.float64)
    exact, trained = least_squares(x, y, start), gradient_descent(FIT)(x, y, start)
    other = least_squares(*rows(20000, 4, seed=5), start)
    assert (trained - exact).abs().max() < 0.35 * (other - exact).abs().max()


def chain(**changes):
    setting = Setting(**{"spectrum": (1.0, 0.4), "dim": 3, "noise": 0.2, "real": 0.1, "history": "replace",
                         "samples": 20000, "seeds": 3} | changes)  # fmt: skip
    return setting, list(train_rounds(setting, {"trained": gradient_descent(FIT), "exact": least_squares}, 6))


@pytest.mark.parametrize("history", ["replace", "accumulate"])
@pytest.mark.parametrize("real", [0.0, 0.3])
def test_rounds_follow_the_population(history, real):
    setting, found = chain(history=history, real=real)
    expected = population_gains(setting.spectrum, setting.noise, real, 6, history)
    for fit in ("trained", "exact"):
        gains = torch.stack([measured[fit].gains.mean(dim=0) for measured in found])
        assert np.abs(gains.numpy() - expected).max() < 0.02


def test_what_is_measured_of_an_exact_autoencoder():
    """Operator norm, singular values, angle and generation error of round 0 are those of the population."""
    setting, found = chain(samples=200000)
    exact = found[0]["exact"]
    g = population_gains(setting.spectrum, setting.noise, 0, 0)[0]
    s = np.array(setting.spectrum)
    assert exact.operator_norm == pytest.approx(np.full(3, g[0]), abs=0.01)
    assert exact.singular_values == pytest.approx(np.tile([*g, 0], (3, 1)), abs=0.01)
    assert exact.subspace_angle.max() < math.radians(1)
    error = ((np.sqrt(s * g) - np.sqrt(s)) ** 2).sum() / s.sum()
    assert exact.generation_error == pytest.approx(np.full(3, error), abs=2e-3)


def test_an_autoencoder_that_listens_to_the_wrong_direction_has_an_angle():
    """With hardly any samples and much noise, by many degrees; never above 90."""
    _, found = chain(samples=4, noise=5.0)
    angle = torch.stack([measured["exact"].subspace_angle for measured in found])
    assert angle.max() > math.radians(30) and angle.max() <= math.pi / 2 + 1e-9


def test_the_same_setting_gives_the_same_bits_and_repetitions_differ():
    _, first = chain(samples=500)
    _, second = chain(samples=500)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one["trained"].gains, other["trained"].gains)
        assert one["trained"].gains[:, 0].unique().numel() == 3


def test_collapsed_data_are_nothing_not_denormal():
    setting = Setting((1.0,), 2, 2.0, 0.0, "replace", 200, 2)
    *_, last = train_rounds(setting, {"exact": least_squares}, 30)
    assert last["exact"].operator_norm.max() == 0 and last["exact"].generation_error == pytest.approx([1.0, 1.0])
