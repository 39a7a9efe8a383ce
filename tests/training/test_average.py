"""Moving averages, by what their telescoping products leave of each step."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from reflowbench.training.average import decay, power
from reflowbench.training.loop import Trainer
from tests.conftest import round_params
from tests.training.test_loop import Fixed

STEPS = 12


def weights_of(**law):
    """Share of the start and of each step in the average, from the decays."""
    shares = [1.0]
    for update in range(STEPS):
        left = decay(round_params(**law), update)
        shares = [share * left for share in shares] + [1 - left]
    return shares


def test_a_constant_decay():
    shares = weights_of(ema=0.9)
    assert shares[0] == pytest.approx(0.9**STEPS)
    assert shares[1:] == pytest.approx([0.1 * 0.9 ** (STEPS - n) for n in range(1, STEPS + 1)])


def test_warm_up():
    """The product of (1 + n) / (10 + n) over the first N is N! 9! / (N + 9)!, and the cap is a constant decay."""
    shares = weights_of(ema=0.9999, ema_warmup=True)
    assert shares[0] == pytest.approx(math.factorial(STEPS) * math.factorial(9) / math.factorial(STEPS + 9))
    # (1 + n) / (10 + n) reaches 0.5 at n = 8.
    capped = [decay(round_params(ema=0.5, ema_warmup=True), n) for n in range(10)]
    assert capped == pytest.approx([(1 + n) / (10 + n) for n in range(8)] + [0.5, 0.5])
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("std", [0.05, 0.1, 0.25])
def test_a_power_of_the_step(std):
    """Step n of N counts as much as the integral of tau^gamma over its part of [0, 1]; the start not at all."""
    shares, gamma = weights_of(ema_std=std), power(std)
    edges = (np.arange(STEPS + 1) / STEPS) ** (gamma + 1)
    assert shares == pytest.approx([0, *np.diff(edges)], abs=1e-12)
    assert gamma > 0


@pytest.mark.parametrize("std", [0.01, 0.05, 0.1, 0.28])
def test_the_width_is_the_one_asked_for(std):
    """By the moments of the density (gamma + 1) tau^gamma, numerically; EDM2 has 16.97 and 6.94."""
    gamma = power(std)
    tau = (np.arange(200_000) + 0.5) / 200_000
    density = (gamma + 1) * tau**gamma / 200_000
    mean = (density * tau).sum()
    assert math.sqrt((density * (tau - mean) ** 2).sum()) == pytest.approx(std, rel=1e-4)
    if std in (0.05, 0.1):
        assert gamma == pytest.approx({0.05: 16.97, 0.1: 6.94}[std], abs=0.01)


@pytest.mark.parametrize("law", [{"ema": 0.8}, {"ema": 0.8, "ema_warmup": True}, {"ema_std": 0.1}])
def test_training_averages_by_the_law(law):
    """The average is the sum of the weights after each step, by their shares."""

    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(torch.full((2,), 3.0))

        def forward(self, x, t):
            return self.value + 0 * x

    network = Constant()
    seen = [network.value.detach().clone()]
    coupling = Fixed(torch.zeros(4, 2), torch.ones(4, 2))
    trainer = Trainer(network, coupling, round_params(steps=STEPS, lr=0.1, **law), 0, 1, path="round")
    for _ in trainer:
        seen.append(network.value.detach().clone())
    assert len({value[0].item() for value in seen}) == STEPS + 1
    expected = sum(share * value for share, value in zip(weights_of(**law), seen, strict=True))
    assert torch.allclose(trainer.ema.value, expected, atol=1e-6)
