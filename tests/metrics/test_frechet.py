import numpy as np
import pytest
from cleanfid.fid import frechet_distance as cleanfid_frechet_distance
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from reflowbench.core.gaussians import Gaussian, fit, squared_wasserstein
from reflowbench.metrics.frechet import SPLITS, FrechetDistance, Projection, extrapolate
from reflowbench.metrics.measurement import UndefinedError

RNG = np.random.default_rng(0)


def white(n, dim):
    """Features with exactly the mean 0 and the covariance I."""
    x = np.random.default_rng(1).normal(size=(n, dim))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # clean-fid calls scipy's sqrtm the old way
@pytest.mark.parametrize("dim", [2, 10, 64])
def test_it_is_that_of_clean_fid_and_torch_fidelity(dim):
    a = RNG.normal(size=(500, dim)) @ RNG.normal(size=(dim, dim))
    b = RNG.normal(size=(400, dim)) + 0.5
    first, second = ((x.mean(axis=0), np.cov(x, rowvar=False)) for x in (a, b))
    found = FrechetDistance(b)(a)
    assert found == pytest.approx(cleanfid_frechet_distance(*first, *second), rel=1e-6)
    statistics = ({"mu": mean, "sigma": covariance} for mean, covariance in (first, second))
    assert found == pytest.approx(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID], rel=1e-6)


def test_it_has_a_closed_form():
    """Diagonal Gaussians: |m1 - m2|^2 + sum (s1 - s2)^2, on features with exactly these moments."""
    x = white(1000, 3)
    a, b = x * [1.0, 2.0, 0.5] + [1.0, 0.0, 0.0], x * [3.0, 2.0, 1.0]
    assert FrechetDistance(b)(a) == pytest.approx(1.0 + 4.0 + 0.25)
    assert FrechetDistance(a)(a) == pytest.approx(0, abs=1e-9)


def test_it_is_defined_for_a_collapsed_model():
    """A point has a singular covariance, where a general matrix square root struggles."""
    point, cloud = np.full((50, 6), 0.5), RNG.normal(size=(500, 6))
    expected = ((cloud.mean(axis=0) - 0.5) ** 2).sum() + np.trace(np.cov(cloud, rowvar=False))
    assert FrechetDistance(cloud)(point) == pytest.approx(expected)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_samples_have_no_distance(n):
    with pytest.raises(UndefinedError, match=f"at least 2 images, not {n}"):
        FrechetDistance(white(50, 2))(np.zeros((n, 2)))


def test_the_extrapolation_is_exact_for_a_bias_of_one_over_n():
    n = 12 * 100
    assert extrapolate(lambda rows: 3 + 7 / len(rows), n) == pytest.approx(3, rel=1e-10)
    assert extrapolate(lambda rows: 3.0, n) == pytest.approx(3)
    # and about so where the parts are not equal
    assert extrapolate(lambda rows: 3 + 7 / len(rows), 1001) == pytest.approx(3, abs=1e-5)


def test_every_point_of_the_extrapolation_uses_all_samples_once():
    seen = []
    extrapolate(lambda rows: float(seen.append(rows) or len(rows)), 100)
    ends = np.cumsum([len(rows) for rows in seen])
    for parts, end in zip(SPLITS, range(100, 100 * len(SPLITS) + 1, 100), strict=True):
        first, last = np.searchsorted(ends, [end - 100, end], side="right") if end > 100 else (0, 1)
        assert last - first == parts
        assert np.concatenate(seen[first:last]).tolist() == list(range(100))


@pytest.mark.parametrize("n", [300, 800])
def test_the_bias_of_more_samples_than_there_are_is_extrapolated(n):
    """The mean distance of n draws, from 200 of them; of fewer than 200 it is computed."""
    law = Gaussian(np.zeros(6), np.diag([1.0, 2, 3, 4, 5, 6]))
    rng = np.random.default_rng(3)
    distance = FrechetDistance(rng.normal(size=(500, 6)) @ law.factor.T)
    few = np.array([distance.at(rng.normal(size=(200, 6)) @ law.factor.T, n) for _ in range(150)])
    many = np.array([distance(rng.normal(size=(n, 6)) @ law.factor.T) for _ in range(150)])
    assert few.mean() == pytest.approx(many.mean(), abs=4 * np.hypot(few.std(), many.std()) / 150**0.5)
    whole = rng.normal(size=(200, 6))
    assert distance.at(whole, 50) == distance(whole[:50])
    with pytest.raises(UndefinedError, match="the floor at 50 images needs more than 2 x 6 held-out images, not 12"):
        distance.at(whole[:12], 50)


def averages(distance, law, n, draws=60):
    """Mean over draws of samples, and its standard error: of the distance, and extrapolated."""
    rng = np.random.default_rng(2)
    samples = [rng.normal(size=(n, len(law.mean))) @ law.factor.T + law.mean for _ in range(draws)]
    values = (np.array([of(x) for x in samples]) for of in (distance, distance.at_infinity))
    return [(found.mean(), found.std() / draws**0.5) for found in values]


@pytest.mark.parametrize(("n", "dim"), [(400, 8), (2000, 16)])
def test_the_extrapolation_removes_the_bias_of_samples_of_the_reference_law(n, dim):
    """For N(0, I): |m|^2 + |S^(1/2) - I|^2 has the mean d/n + d (d + 1) / 4n, up to the next order in d/n."""
    (plain, _), (extrapolated, noise) = averages(
        FrechetDistance(white(1000, dim)), Gaussian(np.zeros(dim), np.eye(dim)), n
    )
    bias = dim / n + dim * (dim + 1) / (4 * n)
    assert plain == pytest.approx(bias, rel=0.15)
    assert abs(extrapolated) < bias / 10 + 3 * noise < bias / 5


def test_the_extrapolation_finds_a_true_difference():
    real, dim = white(1000, 16), 16
    law = Gaussian(np.full(dim, 0.2), np.diag(np.linspace(0.5, 2, dim)))
    true = squared_wasserstein(law, fit(real))
    (plain, _), (extrapolated, noise) = averages(FrechetDistance(real), law, 400)
    assert plain - true > 10 * noise
    assert abs(extrapolated - true) < (plain - true) / 10 + 3 * noise


def test_samples_that_do_not_span_the_features_are_not_extrapolated():
    distance = FrechetDistance(white(100, 5))
    assert np.isfinite(distance.at_infinity(RNG.normal(size=(24, 5))))
    with pytest.raises(UndefinedError, match="needs more than 4 x 5 samples, not 23"):
        distance.at_infinity(RNG.normal(size=(23, 5)))


def test_all_principal_components_keep_the_distance():
    real, generated = RNG.normal(size=(300, 6)) @ RNG.normal(size=(6, 6)) + 1, RNG.normal(size=(200, 6))
    projection = Projection(real, 6)
    expected = FrechetDistance(real)(generated)
    assert FrechetDistance(projection(real))(projection(generated)) == pytest.approx(expected, rel=1e-8)


def test_components_are_those_of_the_real_features_in_the_order_of_their_variance():
    axes = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    real = white(500, 4) * [4.0, 3.0, 2.0, 1.0] @ axes.T + 7
    projected = Projection(real, 2)(real)
    assert projected.shape == (500, 2)
    assert projected.mean(axis=0) == pytest.approx([0, 0], abs=1e-10)
    assert np.cov(projected, rowvar=False) == pytest.approx(np.diag([16.0, 9.0]), abs=1e-8)
    # a shift along the first component is seen in full, one along the last not at all
    projection = Projection(real, 2)
    for axis, expected in ((0, 9.0), (3, 0.0)):
        found = FrechetDistance(projected)(projection(real + 3 * axes[:, axis]))
        assert found == pytest.approx(expected, abs=1e-6)


def test_more_components_than_features_name_the_parameter():
    assert Projection(white(50, 3), 3)(white(50, 3)).shape == (50, 3)
    with pytest.raises(UndefinedError, match="evaluate.pca = 4: there are only 3 features"):
        Projection(white(50, 3), 4)
