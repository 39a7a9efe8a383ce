import pytest
import torch
from scipy import stats

from reflowbench.core.randomness import generator, noise


def test_a_sample_depends_on_its_number_only():
    whole = noise(1, "p", 2, range(50), 7)
    assert torch.equal(noise(1, "p", 2, range(20, 30), 7), whole[20:30])
    assert torch.equal(noise(1, "p", 2, [41, 3, 3, 17], 7), whole[[41, 3, 3, 17]])
    far = noise(1, "p", 2, [9000, 41], 7)
    assert torch.equal(far[1], whole[41]) and torch.equal(far[0], noise(1, "p", 2, range(9000, 9001), 7)[0])
    assert noise(1, "p", 2, [], 7).shape == (0, 7)


@pytest.mark.parametrize("other", [(2, "p", 2), (1, "q", 2), (1, "p", 3)])
def test_seed_purpose_and_round_are_independent(other):
    a, b = noise(1, "p", 2, range(4000), 4), noise(*other, range(4000), 4)
    assert abs(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) < 4 / 16000**0.5


@pytest.mark.parametrize("dim", [1, 2, 5, 64])
def test_noise_is_standard_normal(dim):
    sample = noise(0, "p", 0, range(20000 // dim), dim)
    assert sample.dtype == torch.float32
    assert stats.kstest(sample.flatten().numpy(), "norm").pvalue > 1e-3


def test_coordinates_are_uncorrelated():
    covariance = torch.cov(noise(0, "p", 0, range(20000), 6).T)
    assert (covariance - torch.eye(6)).abs().max() < 0.04


def test_generators_differ_by_step():
    draws = {torch.randint(10**9, (1,), generator=generator(0, "p", 1, step)).item() for step in range(50)}
    assert len(draws) == 50
