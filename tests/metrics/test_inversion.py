import numpy as np
import pytest
import torch
from scipy import stats

from reflowbench.metrics.inversion import NOISE_LAW, invert_and_return, ks_distance, noise_law, reconstruction_error
from tests.oracles import StraightGaussianFlow, gaussian_flow

RNG = np.random.default_rng(0)


def normal(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def law_of(z):
    return dict(zip(NOISE_LAW, noise_law(z), strict=True))


def test_ks_distance_is_scipys():
    for n, law in [(1, stats.uniform()), (7, stats.expon()), (500, stats.norm(0.1, 1.1))]:
        sample = RNG.normal(size=n) ** 2
        expected = stats.kstest(sample, law.cdf).statistic
        assert ks_distance(torch.from_numpy(law.cdf(sample))) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_the_noise_law_is_that_of_scipy_and_numpy(scale):
    z = scale * normal(400, 16)
    law = law_of(z)
    squared = z.square().sum(dim=1).numpy()
    assert law["inverted_norm"] == pytest.approx(squared.mean() / 16)
    assert law["inverted_ks_norm"] == pytest.approx(stats.kstest(squared, stats.chi2(16).cdf).statistic)
    assert law["inverted_ks_coordinates"] == pytest.approx(stats.kstest(z.flatten().numpy(), stats.norm.cdf).statistic)
    off_diagonal = np.corrcoef(z.numpy(), rowvar=False)[~np.eye(16, dtype=bool)]
    assert law["inverted_correlation"] == pytest.approx(np.sqrt(np.square(off_diagonal).mean()))
    assert law_of(z.float()) == pytest.approx(law, abs=1e-6)


def test_normal_noise_has_the_law_of_noise():
    """Within what a sample of this size can say: 1 % critical values, and the spread of a mean of squares."""
    n, dim = 2000, 16
    law = law_of(normal(n, dim))
    assert law["inverted_norm"] == pytest.approx(1, abs=4 * (2 / (n * dim)) ** 0.5)
    assert law["inverted_ks_norm"] < 1.63 / n**0.5
    assert law["inverted_ks_coordinates"] < 1.63 / (n * dim) ** 0.5
    assert law["inverted_correlation"] == pytest.approx(n**-0.5, rel=0.2)


def test_each_way_of_not_being_noise_is_detected():
    """Positive controls: shrunken, correlated, all on one sphere, and collapsed to a point."""
    n, dim = 2000, 16
    z = normal(n, dim)
    shrunken = law_of(0.7 * z)
    assert shrunken["inverted_norm"] == pytest.approx(0.49, abs=0.01)
    assert shrunken["inverted_ks_norm"] > 0.5 and shrunken["inverted_ks_coordinates"] > 0.05
    assert shrunken["inverted_correlation"] == pytest.approx(n**-0.5, rel=0.2)  # scale is not correlation
    mixed = 0.6 * z + 0.8 * normal(n, 1, seed=1)  # each coordinate is N(0, 1), each pair correlated by 0.64
    correlated = law_of(mixed)
    assert correlated["inverted_correlation"] == pytest.approx(0.64, abs=0.03)
    assert correlated["inverted_ks_norm"] > 0.1 > correlated["inverted_ks_coordinates"]
    sphere = law_of(z / z.norm(dim=1, keepdim=True) * dim**0.5)
    assert sphere["inverted_norm"] == pytest.approx(1) and sphere["inverted_ks_norm"] > 0.4
    point = law_of(torch.full((50, 4), 0.3))
    assert point["inverted_norm"] == pytest.approx(0.09) and point["inverted_correlation"] == 0
    assert point["inverted_ks_coordinates"] == pytest.approx(stats.norm.cdf(0.3))


def test_an_exact_field_reconstructs_and_gives_real_images_normal_noise():
    """Straight paths are exact in any number of steps; more images than a block, so that padding is cut off."""
    flow = gaussian_flow(StraightGaussianFlow)
    images = flow.forward_map(normal(300, 3))
    noise, back = invert_and_return(flow, images, 1)
    assert torch.allclose(noise, flow.inverse_map(images)) and torch.allclose(back, images)
    assert reconstruction_error(images, back) < 1e-12
    law = law_of(noise)
    assert law["inverted_norm"] == pytest.approx(1, abs=0.15) and law["inverted_ks_coordinates"] < 1.63 / 900**0.5


def test_the_reconstruction_error_is_that_of_the_solver():
    """The noise is Heun's, at its second order; the way back undoes some of its error, and more steps undo more."""
    flow = gaussian_flow()
    images = flow.forward_map(normal(300, 3))
    found = {steps: invert_and_return(flow, images, steps) for steps in (4, 16, 64)}
    inversion = {steps: (noise - flow.inverse_map(images)).abs().max() for steps, (noise, _) in found.items()}
    assert inversion[4] / 8 > inversion[16] > inversion[64] * 8 > 0
    errors = {steps: reconstruction_error(images, back) for steps, (_, back) in found.items()}
    assert errors[4] / 8 > errors[16] > errors[64] * 8 > 0
    assert reconstruction_error(torch.zeros(2, 2), torch.tensor([[0.1, 0.1], [0.1, -0.1]])) == pytest.approx(0.1)
