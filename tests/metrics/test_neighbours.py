import numpy as np
import pytest
from prdc import compute_prdc

from reflowbench.core.jackknife import groups_of
from reflowbench.metrics.measurement import UndefinedError
from reflowbench.metrics.neighbours import METRICS, Neighbourhood, PrecisionRecall, distances, distances_within

RNG = np.random.default_rng(0)


def compare(real, generated, k):
    return PrecisionRecall(real, Neighbourhood(distances_within(real)).radii(k), generated, k)


def brute_force_radii(rows, k):
    every = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    return np.sort(every, axis=1)[:, k]  # the first is the row itself


@pytest.mark.parametrize(("n", "m", "dim"), [(50, 30, 2), (200, 300, 16), (300, 200, 64), (7, 400, 3), (400, 7, 3)])
@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_the_metrics_are_those_of_the_authors_package(n, m, dim, k, scale):
    real, generated = RNG.normal(size=(m, dim)), scale * RNG.normal(size=(n, dim)) + 0.1
    theirs = compute_prdc(real, generated, nearest_k=k)
    found = compare(real, generated, k).values()
    assert dict(zip(METRICS, found, strict=True)) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(
    ("n", "groups", "k"),
    [(60, 16, 5), (61, 7, 5), (60, 60, 1), (100, 2, 5), (100, 3, 40)],  # the last two: far beyond the sorted rows
)
def test_leaving_groups_out_is_computing_without_them(n, groups, k):
    """Groups may be neighbours of each other, as copies in a batch would be."""
    real, generated = RNG.normal(size=(80, 3)), RNG.normal(size=(n, 3))
    generated[: n // groups] = generated[0] + 1e-3 * RNG.normal(size=(n // groups, 3))
    left_out = compare(real, generated, k).left_out(groups)
    assert left_out.shape == (len(METRICS), groups)
    for group, values in zip(groups_of(n, groups), left_out.T, strict=True):
        assert values == pytest.approx(compare(real, np.delete(generated, group, axis=0), k).values(), rel=1e-12)


def test_the_metrics_do_not_depend_on_the_order_the_unit_or_the_place():
    real, generated = RNG.normal(size=(90, 4)), 0.8 * RNG.normal(size=(70, 4))
    expected = compare(real, generated, 5).values()
    assert all(0 < value < 1.5 for value in expected)
    assert compare(RNG.permutation(real), RNG.permutation(generated), 5).values() == pytest.approx(expected)
    assert compare(8 * real + 1, 8 * generated + 1, 5).values() == pytest.approx(expected)


def cluster(centre):
    """On a line at distances that are powers of two, so that there are no ties and no rounding."""
    return np.stack([centre + 2.0 ** np.arange(8), np.zeros(8)], axis=1)


def test_two_far_clusters_of_which_one_is_missing():
    """Copies of one: all are real, half of the real ones are covered, and each ball holds its k points."""
    real = np.concatenate([cluster(0), cluster(1e4)])
    found = dict(zip(METRICS, compare(real, cluster(0), 3).values(), strict=True))
    assert found == {"precision": 1.0, "recall": 0.5, "density": 1.0, "coverage": 0.5}
    both = compare(real, real, 3).values()
    assert both == (1.0, 1.0, 1.0, 1.0)


def test_a_third_cluster_that_is_not_real():
    real, generated = np.concatenate([cluster(0), cluster(1e4)]), np.concatenate([cluster(0), cluster(-1e4)])
    found = dict(zip(METRICS, compare(real, generated, 3).values(), strict=True))
    assert found == {"precision": 0.5, "recall": 0.5, "density": 0.5, "coverage": 0.5}
    assert compare(real, cluster(-1e4), 3).values() == (0, 0, 0, 0)


def test_a_collapsed_model_is_precise_and_recalls_nothing():
    real = np.random.default_rng(0).normal(size=(200, 2))
    precision, recall, _, coverage = compare(real, np.zeros((50, 2)), 5).values()
    assert precision == 1 and recall == 0 and coverage < 0.2
    # a point in the balls of both images counts twice
    assert compare(np.array([[-1.0], [1.0]]), np.zeros((5, 1)), 1).values() == (1, 0, 2, 1)


def test_distances_are_euclidean():
    a, b = RNG.normal(size=(20, 5)), RNG.normal(size=(30, 5)) + 2
    assert distances(a, b) == pytest.approx(np.linalg.norm(a[:, None] - b[None], axis=2), rel=1e-10)
    within = distances_within(a)
    assert np.isinf(within.diagonal()).all()
    assert within + within.T == pytest.approx(2 * within)
    copies = distances(a[:, :1].repeat(3, axis=1), a[:, :1].repeat(3, axis=1)).diagonal()
    assert (copies >= 0).all() and copies.max() < 1e-6


@pytest.mark.parametrize(("n", "k"), [(2, 1), (30, 1), (30, 29), (100, 5), (100, 24), (100, 25), (100, 99)])
def test_radii_reach_the_kth_other_row(n, k):
    rows = RNG.normal(size=(n, 3))
    assert Neighbourhood(distances_within(rows)).radii(k) == pytest.approx(brute_force_radii(rows, k), abs=1e-7)


@pytest.mark.parametrize("k", [1, 5, 30])
def test_radii_without_rows_reach_the_kth_of_the_others(k):
    rows, without = RNG.normal(size=(100, 2)), np.arange(30, 60)
    found = Neighbourhood(distances_within(rows)).radii(k, without)
    kept = np.delete(rows, without, axis=0)
    assert np.delete(found, without) == pytest.approx(brute_force_radii(kept, k), abs=1e-7)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 5), (3, 10), (30, 40)])
def test_radii_need_more_rows_than_neighbours(n, k):
    own = Neighbourhood(distances_within(RNG.normal(size=(n, 2))))
    with pytest.raises(UndefinedError, match=f"needs more than {k} samples, not {n}"):
        own.radii(k)


def test_too_few_samples_are_named_when_a_group_is_left_out_too():
    real, generated = RNG.normal(size=(50, 2)), RNG.normal(size=(7, 2))
    assert np.isfinite(compare(real, generated, 5).values()).all()
    with pytest.raises(UndefinedError, match="needs more than 5 samples, not 3"):
        compare(real, generated, 5).left_out(2)
