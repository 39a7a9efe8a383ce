import pytest
import torch
from scipy import stats

from reflowbench.flow.solvers import solve
from reflowbench.theory.gaussian.targets import Target, as_images, target
from tests.oracles import GaussianFlow, StraightGaussianFlow

CASES = [(name, dim) for name in ("gaussian", "mixture") for dim in (2, 10, 64)]
N = 10000


@pytest.fixture(params=CASES, ids=str)
def law(request) -> Target:
    return target(*request.param)


def draw(law, n=N, seed=0):
    return law.sample(n, torch.Generator().manual_seed(seed))


def test_moments_are_those_of_the_samples(law):
    """Within five standard errors, entry by entry; those of a covariance from the fourth moments of the samples."""
    x = draw(law)[0].double()
    mean, covariance = torch.from_numpy(law.moments.mean), torch.from_numpy(law.moments.covariance)
    assert ((x.mean(dim=0) - mean).abs() <= 5 * (covariance.diagonal() / N).sqrt()).all()
    centred = x - mean
    products = (
        centred[:, :, None] * centred[:, None, :] if law.dim < 64 else centred[:, :8, None] * centred[:, None, :8]
    )
    error = (products.mean(dim=0) - covariance[: products.shape[1], : products.shape[2]]).abs()
    assert (error <= 5 * products.std(dim=0) / N**0.5).all()


def test_laws_stay_clear_of_the_bounds_at_which_pairs_are_clipped(law):
    x = draw(law)[0]
    assert x.dtype == torch.float32 and (x.abs() > 1).double().mean() < 1e-4
    assert law.moments.mean.any(), "no law is centred"


def test_the_gaussian_has_distinct_scales():
    law = target("gaussian", 10)
    assert (
        (law.std[:-1] > law.std[1:]).all() and law.std[0] == pytest.approx(0.2) and law.std[-1] == pytest.approx(0.05)
    )
    assert (law.mean.abs() + 4 * law.std <= 1).all() and (law.mean != 0).all()


def test_modes_have_their_weights_and_their_own_points_nearest():
    law = target("mixture", 64)
    x, mode = draw(law)
    shares = torch.bincount(mode) / N
    assert (shares - law.shares).abs().max() < 5 * (0.24 / N) ** 0.5
    assert torch.equal(torch.cdist(x.double(), law.centres).argmin(dim=1), mode)


def test_quantiles_invert_the_distribution_function():
    directions = torch.nn.functional.normalize(torch.randn(5, 10, generator=torch.Generator().manual_seed(1)).double())
    levels = torch.tensor([1e-6, 0.01, 0.1, 0.39, 0.41, 0.5, 0.9, 1 - 1e-6], dtype=torch.float64)
    law = target("mixture", 10)
    found = law.quantiles(directions, levels)
    assert found.shape == (8, 5) and (found.diff(dim=0) > 0).all()
    assert torch.allclose(law.cdf(found, law.centres @ directions.T), levels[:, None].expand(8, 5), rtol=0, atol=1e-9)
    law = target("gaussian", 10)
    spread = (directions @ torch.from_numpy(law.moments.covariance) * directions).sum(dim=1).sqrt()
    expected = [stats.norm.ppf(p, directions @ law.mean, spread) for p in levels.tolist()]
    assert torch.allclose(law.quantiles(directions, levels), torch.stack(list(map(torch.as_tensor, expected))))


def test_quantiles_are_those_of_the_samples(law):
    """The share of samples below an exact quantile is its level."""
    directions = torch.eye(law.dim, dtype=torch.float64)[:2]
    levels = torch.tensor([0.05, 0.3, 0.5, 0.85], dtype=torch.float64)
    x = draw(law)[0].double() @ directions.T
    below = (x[:, None, :] <= law.quantiles(directions, levels)).double().mean(dim=0)
    assert ((below - levels[:, None]).abs() <= 5 * (levels * (1 - levels) / N).sqrt()[:, None]).all()


def test_the_gaussians_fields_are_the_oracles():
    law = target("gaussian", 3)
    x, t = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double(), torch.linspace(0, 1, 50).double()
    for ours, oracle in ((law.velocity, GaussianFlow), (law.straight_velocity, StraightGaussianFlow)):
        flow = oracle(law.mean, law.std**2)
        assert torch.allclose(ours(x, t), flow(x, t))
        end = solve(ours, x, "rk4", 200)
        assert torch.allclose(end, flow.forward_map(x), atol=1e-6)


def test_the_mixtures_field_is_the_conditional_mean():
    """E[x1 - x0 | x_t] as an average over x1, each weighed by the density of the x0 that leads with it to x_t."""
    law = target("mixture", 2)
    x1 = draw(law, 50000)[0].double()
    for t, place in ((0.0, [0.3, -0.2]), (0.5, [0.1, 0.3]), (0.8, [0.3, 0.1])):
        x = torch.tensor([place], dtype=torch.float64)
        x0 = (x - t * x1) / (1 - t)
        weight = torch.softmax(-x0.square().sum(dim=1) / 2, dim=0)
        mean = (weight[:, None] * (x1 - x0)).sum(dim=0)
        error = ((weight[:, None] * (x1 - x0 - mean)) ** 2).sum(dim=0).sqrt()
        assert ((law.velocity(x, torch.tensor([t]).double())[0] - mean).abs() <= 5 * error + 1e-9).all()


def test_the_mixtures_flow_ends_at_the_mixture():
    law = target("mixture", 2)
    start = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    end = solve(law.velocity, start, "heun", 50)
    nearest = torch.cdist(end, law.centres).argmin(dim=1)
    assert (torch.bincount(nearest) / 2000 - law.shares).abs().max() < 5 * (0.24 / 2000) ** 0.5
    assert ((end - law.centres[nearest]).std(dim=0) / law.std - 1).abs().max() < 0.07


def test_points_travel_as_images(law):
    images = as_images(law, 300, seed=1)
    assert images.dim == law.dim and len(images) == 300
    assert torch.equal(images.images, as_images(law, 300, seed=1).images)
    assert not torch.equal(images.images, as_images(law, 300, seed=2).images)
