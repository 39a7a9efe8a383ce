import numpy as np
import pytest

from reflowbench.core.gaussians import Gaussian, fit
from reflowbench.core.jackknife import groups_of
from reflowbench.metrics import diversity
from reflowbench.metrics.measurement import UndefinedError
from reflowbench.metrics.neighbours import Neighbourhood, distances_within

RNG = np.random.default_rng(0)


def own(rows):
    return Neighbourhood(distances_within(rows))


def test_the_variance_is_relative_to_that_of_real_images():
    real = RNG.normal(size=(100, 4))
    for scale in (0.0, 0.5, 1.0, 3.0):
        found = diversity.variance_ratio(fit(scale * real + 7), fit(real))
        assert found == pytest.approx(scale**2, abs=1e-10)


def test_real_images_that_are_all_the_same_give_no_ratio():
    with pytest.raises(UndefinedError, match="real images are all the same"):
        diversity.variance_ratio(fit(RNG.normal(size=(10, 3))), Gaussian(np.zeros(3), np.zeros((3, 3))))


def test_the_spectrum_descends_and_sums_to_the_variance():
    axes = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    fitted = Gaussian(np.zeros(4), (axes * [1.0, 4.0, 0.0, 2.0]) @ axes.T)
    assert diversity.spectrum(fitted) == pytest.approx([4, 2, 1, 0], abs=1e-12)
    few = diversity.spectrum(fit(RNG.normal(size=(5, 20))))  # 4 directions and no negative rounding errors
    assert (few >= 0).all() and (np.diff(few) <= 0).all() and few[4:] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("eigenvalues", "expected"),
    [
        ([1, 1, 1, 1, 1], 5),
        ([1, 1, 0, 0, 0], 2),
        ([7, 0, 0], 1),
        ([2, 1, 1, 0], 2**1.5),
        ([1], 1),
    ],
)
def test_the_effective_rank_counts_the_directions_in_use(eigenvalues, expected):
    values = np.array(eigenvalues, dtype=np.float64)
    assert diversity.effective_rank(values) == pytest.approx(expected)
    assert diversity.effective_rank(1e-5 * values) == pytest.approx(expected)


def test_the_effective_rank_of_samples_on_orthogonal_axes():
    """One far sample each way on g axes: g directions of equal variance, whatever the dimension."""
    for g in (1, 3, 8):
        rows = np.concatenate([np.eye(8)[:g], -np.eye(8)[:g]])
        assert diversity.effective_rank(diversity.spectrum(fit(rows))) == pytest.approx(g)


def test_samples_that_do_not_vary_have_no_effective_rank():
    with pytest.raises(UndefinedError, match="all the same"):
        diversity.effective_rank(diversity.spectrum(fit(np.full((1024, 3), 0.1))))


def brute_force_vendi(features):
    """Its definition, by the similarities of all pairs."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    eigenvalues = np.linalg.eigvalsh(unit @ unit.T / len(unit))
    positive = eigenvalues[eigenvalues > 1e-15]
    return np.exp(-(positive * np.log(positive)).sum())


@pytest.mark.parametrize(("n", "dim"), [(5, 20), (50, 8), (64, 64), (1, 3)])
def test_the_vendi_score_is_its_definition(n, dim):
    features = RNG.normal(size=(n, dim)) + 0.5
    assert diversity.vendi_score(features) == pytest.approx(brute_force_vendi(features), rel=1e-6)


@pytest.mark.parametrize("groups", [1, 2, 7])
def test_the_vendi_score_counts_orthogonal_groups(groups):
    """Equal ones in full; of unequal ones, the exp of the entropy of their shares."""
    rows = np.repeat(np.eye(7)[:groups], 5, axis=0)
    assert diversity.vendi_score(rows) == pytest.approx(groups)
    assert diversity.vendi_score(np.eye(7)[[0, 0, 1, 2]]) == pytest.approx(2**1.5)


def test_the_vendi_score_depends_on_directions_alone():
    features = RNG.normal(size=(30, 6))
    expected = diversity.vendi_score(features)
    assert 1 < expected < 6
    assert diversity.vendi_score(features * RNG.uniform(0.1, 9, size=(30, 1))) == pytest.approx(expected)
    assert diversity.vendi_score(features @ np.linalg.qr(RNG.normal(size=(6, 6)))[0]) == pytest.approx(expected)
    assert diversity.vendi_score(RNG.permutation(features)) == pytest.approx(expected)
    assert diversity.vendi_score(features[:1].repeat(30, axis=0)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("features", "reason"), [(np.zeros((0, 3)), "no sample"), (np.eye(3) * [1, 0, 1], "vector is zero")]
)
def test_features_without_a_direction_have_no_vendi_score(features, reason):
    with pytest.raises(UndefinedError, match=reason):
        diversity.vendi_score(features)


def test_the_threshold_of_duplicates_is_a_quantile_of_real_distances():
    """101 pairs on a line, each further apart than the last: the smallest gap but one."""
    gaps = np.arange(1, 102.0)
    places = 1e4 * np.arange(101)
    rows = np.concatenate([places, places + gaps])[:, None]
    expected = np.quantile(np.repeat(gaps, 2), 0.01)
    assert diversity.duplicate_threshold(own(rows)) == pytest.approx(expected, rel=1e-6)


def test_near_duplicates_are_counted():
    far = 10.0 * np.eye(8)
    assert diversity.near_duplicates(own(far), 1.0) == 0
    assert diversity.near_duplicates(own(np.concatenate([far, far[:2] + 0.1])), 1.0) == pytest.approx(4 / 10)
    assert diversity.near_duplicates(own(np.concatenate([far, far[:2] + 0.5])), 1.0) == 0  # |0.5| * 8^(1/2) > 1
    assert diversity.near_duplicates(own(np.zeros((9, 3))), 1e-3) == 1


def test_fresh_draws_of_the_real_law_have_about_as_many_near_duplicates_as_real_images():
    rng = np.random.default_rng(0)
    threshold = diversity.duplicate_threshold(own(rng.normal(size=(1000, 3))))
    assert diversity.near_duplicates(own(rng.normal(size=(1000, 3))), threshold) == pytest.approx(0.01, abs=0.015)
    assert diversity.near_duplicates(own(0.5 * rng.normal(size=(1000, 3))), threshold) > 0.04


@pytest.mark.parametrize("groups", [2, 5, 40])
def test_near_duplicates_without_groups_are_those_of_the_others(groups):
    """A copy whose original is left out is no duplicate any more."""
    rows = RNG.normal(size=(40, 3))
    rows[:10] = rows[30:] + 1e-4
    for group in groups_of(40, groups):
        expected = diversity.near_duplicates(own(np.delete(rows, group, axis=0)), 0.3)
        assert diversity.near_duplicates(own(rows), 0.3, group) == expected


def test_a_single_sample_has_no_other():
    with pytest.raises(UndefinedError, match="needs more than 1 samples, not 1"):
        diversity.near_duplicates(own(np.zeros((1, 3))), 1.0)
