"""Assignment, semidiscrete potential and whitening: closed forms and invariants."""

import itertools

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from reflowbench.core.randomness import noise
from reflowbench.pairs.assignment import assign, assigned_noise
from reflowbench.pairs.potential import Potential, fit_potential
from reflowbench.pairs.whitening import standardize, whiten
from reflowbench.runtime.params import PotentialParams

FIT = PotentialParams(steps=400, batch=1024, lr=0.3)


def test_the_assignment_is_the_best_of_all():
    z, x = torch.randn(6, 3), torch.randn(6, 3)
    best = min(itertools.permutations(range(6)), key=lambda order: (z[list(order)] - x).square().sum())
    assert assign(z, x).tolist() == list(best)


@pytest.mark.parametrize("chunk", [0, 10, 16])
def test_assigned_noise_is_all_of_the_fresh_noise_in_another_order(chunk):
    x = torch.randn(40, 5)
    z = assigned_noise(x, 3, "test", 2, 3, chunk)
    fresh = noise(3, "test", 2, range(120), 5)
    assert torch.equal(z[z[:, 0].argsort()], fresh[fresh[:, 0].argsort()])
    for repeat in range(3):
        rows = slice(40 * repeat, 40 * (repeat + 1))
        near = (z[rows] - x).square().sum()
        assert near < 0.8 * (fresh[rows] - x).square().sum()
        if chunk == 0:
            cost = torch.cdist(x.double(), fresh[rows].double()).square().numpy()
            assert near.item() == pytest.approx(cost[linear_sum_assignment(cost)].sum(), rel=1e-5)


def test_larger_chunks_transport_less():
    x = torch.randn(200, 5)
    costs = [(assigned_noise(x, 0, "test", 1, 1, chunk) - x).square().sum() for chunk in (5, 40, 0)]
    assert costs[0] > costs[1] > costs[2]


def test_a_fitted_potential_gives_each_point_its_share():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 0.5
    z = noise(9, "other noise", 0, range(50_000), 4)
    flat, fitted = Potential(x, torch.zeros(50)), fit_potential(x, FIT, 0, 1)
    excess = [(torch.bincount(p.match(z), minlength=50) / len(z) - 1 / 50).abs().sum() / 2 for p in (flat, fitted)]
    assert excess[0] > 0.3 and excess[1] < 0.03


def test_two_points_are_split_by_the_plane_between_them():
    """By symmetry the potential is equal, and each noise goes to the nearer point."""
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    fitted = fit_potential(x, FIT, 0, 1)
    assert (fitted.dual[0] - fitted.dual[1]).abs() < 0.1
    z = noise(1, "other noise", 0, range(1000), 2)
    z = z[z[:, 0].abs() > 0.1]
    assert torch.equal(fitted.match(z), (z[:, 0] < 0).long())


def test_the_potential_is_the_same_when_fitted_again_and_another_for_another_round():
    x = torch.randn(30, 4)
    assert torch.equal(fit_potential(x, FIT, 0, 1).dual, fit_potential(x, FIT, 0, 1).dual)
    assert not torch.equal(fit_potential(x, FIT, 0, 1).dual, fit_potential(x, FIT, 0, 2).dual)


def test_whitening():
    z = torch.randn(500, 3) @ torch.tensor([[2.0, 0, 0], [1, 1, 0], [0, 0.5, 0.1]]) + 3
    white, scaled = whiten(z), standardize(z)
    assert torch.allclose(torch.cov(white.T, correction=0), torch.eye(3), atol=1e-4)
    assert torch.allclose(scaled.var(dim=0, correction=0), torch.ones(3), atol=1e-4)
    assert white.mean(dim=0).abs().max() < 1e-4 and scaled.mean(dim=0).abs().max() < 1e-4
    assert torch.allclose(torch.corrcoef(scaled.T), torch.corrcoef(z.T), atol=1e-4), "only the scale changes"
    normal = torch.randn(20_000, 3)
    assert (whiten(normal) - normal).abs().max() < 0.2, "N(0, I) is left as it is"


def test_a_constant_direction_is_not_blown_up():
    z = torch.randn(100, 3)
    z[:, 2] = 0.5
    for law in (whiten, standardize):
        assert law(z)[:, 2].abs().max() < 1e-3
