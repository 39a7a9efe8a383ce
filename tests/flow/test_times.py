import math

import pytest
import torch

from reflowbench.flow.times import STEEPNESS, draw_times

N = 200_000
DENSITY = {
    "uniform": torch.ones_like,
    "u_shaped": lambda t: torch.cosh(STEEPNESS * (t - 0.5)),
    "logit_normal": lambda t: torch.exp(-torch.logit(t).square() / 2) / (t * (1 - t)),
}


@pytest.mark.parametrize("law", DENSITY)
def test_times_follow_their_density(law):
    t = draw_times(law, N, torch.Generator().manual_seed(0))
    assert t.shape == (N,) and t.min() >= 0 and t.max() <= 1
    middle = (torch.arange(2000) + 0.5) / 2000
    expected = DENSITY[law](middle).reshape(20, 100).mean(dim=1)
    expected = N * expected / expected.sum()
    counts = torch.histc(t, 20, 0, 1)
    assert ((counts - expected).abs() < 5 * expected.sqrt() + 0.01 * expected).all()


def test_the_laws_differ_where_they_should():
    t = {law: draw_times(law, N, torch.Generator().manual_seed(0)) for law in DENSITY}
    spread = {law: times.var().item() for law, times in t.items()}
    assert spread["logit_normal"] < spread["uniform"] < spread["u_shaped"]
    assert spread["uniform"] == pytest.approx(1 / 12, rel=0.02)
    assert all(math.isclose(times.mean().item(), 0.5, abs_tol=0.005) for times in t.values())
