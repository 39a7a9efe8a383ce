import tracemalloc

import numpy as np
import pytest
from cleanfid.fid import frechet_distance as cleanfid_distance
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from reflowbench.core.gaussians import BLOCK, Gaussian, Moments, fit, squared_wasserstein

SIZES = [2, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 1000]


def rng(seed=0):
    return np.random.default_rng(seed)


def rotation(dim, seed=0):
    return np.linalg.qr(rng(seed).normal(size=(dim, dim)))[0]


def covariance(dim, seed=0, rank=None):
    """A random one with eigenvalues over three decades, or some of them zero."""
    values = np.logspace(0, -3, dim)
    if rank:
        values[rank:] = 0
    axes = rotation(dim, seed)
    return (axes * values) @ axes.T


def gaussian(dim, seed=0, rank=None):
    return Gaussian(rng(seed).normal(size=dim), covariance(dim, seed, rank))


def cut(rows, sizes):
    """Cut rows into batches of these sizes, over and over."""
    start = turn = 0
    while start < len(rows):
        size = sizes[turn % len(sizes)]
        yield rows[start : start + size]
        start, turn = start + size, turn + 1


@pytest.mark.parametrize("n", SIZES)
def test_moments_are_numpys(n):
    rows = rng().normal(size=(n, 5)) @ rng(1).normal(size=(5, 5)) + 3
    fitted = fit(rows)
    assert fitted.mean == pytest.approx(rows.mean(axis=0), rel=1e-12)
    assert fitted.covariance == pytest.approx(np.cov(rows, rowvar=False), rel=1e-10, abs=1e-12)
    assert (fitted.covariance == fitted.covariance.T).all() and fitted.covariance.dtype == np.float64


@pytest.mark.parametrize("sizes", [(1,), (2, 0, 7), (100,), (BLOCK,), (BLOCK + 1, 3), (999, 1)])
@pytest.mark.parametrize("n", SIZES)
def test_moments_do_not_depend_on_batches_to_the_bit(n, sizes):
    rows = rng().normal(size=(n, 4)).astype(np.float32) + 3
    whole, cuts = fit(rows), Moments(4)
    for batch in cut(rows, sizes):
        cuts.update(batch)
        if len(rows) > 4 and cuts.n:
            cuts.gaussian()  # looking at it in between changes nothing
    found = cuts.gaussian()
    assert (found.mean == whole.mean).all() and (found.covariance == whole.covariance).all()


@pytest.mark.parametrize("n", [50, BLOCK - 1, BLOCK, BLOCK + 100, 3000])
def test_moments_keep_their_digits_far_from_zero(n):
    """What is left to lose is in the rows: at 1e8 a number has 8 decimal places."""
    rows = rng().normal(size=(n, 3)) + 1e8
    expected = np.cov(rows - 1e8, rowvar=False)
    assert fit(rows).covariance == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert fit(rows).mean == pytest.approx(rows.mean(axis=0), rel=1e-14)


@pytest.mark.parametrize("n", [2, 100, BLOCK - 1, BLOCK, BLOCK + 1])
def test_rows_that_are_all_the_same_have_no_variance(n):
    """Exactly, and of any number that a float has; beyond a block, up to the rounding of their mean."""
    for value in (0.1, 1 / 3, 1e6 + 0.1):
        assert np.trace(fit(np.full((n, 3), value)).covariance) == pytest.approx(0, abs=1e-24 * value**2)


def test_moments_take_up_memory_that_does_not_grow():
    def peak(batches):
        moments, batch = Moments(16), rng().normal(size=(64, 16))
        tracemalloc.start()
        try:
            for _ in range(batches):
                moments.update(batch)
            return tracemalloc.get_traced_memory()[1], sum(np.asarray(v).nbytes for v in vars(moments).values())
        finally:
            tracemalloc.stop()

    few, many = peak(16), peak(1600)
    assert many[1] == few[1] and many[0] < 1.1 * few[0]


def test_moments_do_not_hold_on_to_a_large_batch():
    tracemalloc.start()
    try:
        moments = Moments(16).update(rng().normal(size=(100 * BLOCK + 1, 16)))
        assert tracemalloc.get_traced_memory()[0] < 3 * BLOCK * 16 * 8 < 100 * BLOCK * 16 * 8
    finally:
        tracemalloc.stop()
    assert moments.n == 100 * BLOCK


@pytest.mark.parametrize("n", [0, 1])
def test_a_covariance_of_fewer_than_two_rows_is_an_error(n):
    with pytest.raises(ValueError, match=f"at least 2 rows, not {n}"):
        Moments(3).update(np.zeros((n, 3))).gaussian()


@pytest.mark.parametrize("singular", [False, True])
def test_the_factor_multiplies_to_the_covariance(singular):
    fitted = gaussian(6, rank=3 if singular else None)
    assert fitted.factor @ fitted.factor.T == pytest.approx(fitted.covariance, abs=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 7, 64])
def test_the_distance_of_gaussians_with_common_axes(dim):
    """|m1 - m2|^2 + sum (s1 - s2)^2, whatever the axes are."""
    first, second, shift = rng(1).uniform(0.1, 2, (3, dim))
    expected = (shift**2).sum() + ((first - second) ** 2).sum()
    for axes in (np.eye(dim), rotation(dim)):
        a = Gaussian(shift, (axes * first**2) @ axes.T)
        b = Gaussian(np.zeros(dim), (axes * second**2) @ axes.T)
        assert squared_wasserstein(a, b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("dim", [2, 16, 64])
def test_the_distance_is_the_cost_of_the_optimal_map(dim):
    """x -> A x + b with A symmetric and positive is the gradient of a convex function, so optimal (Brenier)."""
    first, stretch, b = gaussian(dim), covariance(dim, seed=1) + 0.1 * np.eye(dim), rng(2).normal(size=dim)
    second = Gaussian(stretch @ first.mean + b, stretch @ first.covariance @ stretch)
    moved = stretch - np.eye(dim)
    expected = np.square(moved @ first.mean + b).sum() + np.trace(moved @ first.covariance @ moved)
    assert squared_wasserstein(first, second) == pytest.approx(expected, rel=1e-8)


def test_the_distance_of_singular_gaussians():
    """A point; two lines, for which tr (C1 C2)^(1/2) = |a.b|; and lines at right angles."""
    cloud, origin = gaussian(5), Gaussian(np.zeros(5), np.zeros((5, 5)))
    expected = (cloud.mean**2).sum() + np.trace(cloud.covariance)
    assert squared_wasserstein(origin, cloud) == pytest.approx(expected, rel=1e-12)
    assert squared_wasserstein(cloud, origin) == pytest.approx(expected, rel=1e-12)
    for a, b in ([3.0, 4.0], [1.0, 2.0]), ([1.0, 0.0], [0.0, 2.0]):
        first, second = (Gaussian(np.zeros(2), np.outer(x, x)) for x in (a, b))
        expected = np.dot(a, a) + np.dot(b, b) - 2 * abs(np.dot(a, b))
        assert squared_wasserstein(first, second) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 500), (65, 500)])
def test_the_distance_of_fewer_samples_than_dimensions(n, m):
    """Without any matrix square root: tr (C1 C2)^(1/2) is the nuclear norm of X Y^T of the centred rows."""
    x, y = rng(1).normal(size=(n, 64)) + 0.3, rng(2).normal(size=(m, 64)) * 2
    a, b = ((rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1) for rows in (x, y))
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    expected = np.square(x.mean(axis=0) - y.mean(axis=0)).sum() + (a**2).sum() + (b**2).sum() - 2 * shared
    assert squared_wasserstein(fit(x), fit(y)) == pytest.approx(expected, rel=1e-6)
    assert squared_wasserstein(fit(y), fit(x)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("dim", [4, 64])
def test_the_distance_is_a_metrics_square(dim, rank):
    a, b, c = (gaussian(dim, seed, rank) for seed in range(3))
    for x in (a, b):
        assert 0 <= squared_wasserstein(x, Gaussian(x.mean, x.covariance)) < 1e-6
    assert squared_wasserstein(a, b) == pytest.approx(squared_wasserstein(b, a), rel=1e-6)
    ab, bc, ac = (squared_wasserstein(*pair) ** 0.5 for pair in ((a, b), (b, c), (a, c)))
    assert ac < ab + bc and ab < ac + bc and bc < ab + ac


def test_the_distance_follows_the_units_and_not_the_axes():
    a, b, turn = gaussian(8), gaussian(8, seed=1), rotation(8, seed=2)
    expected = squared_wasserstein(a, b)
    turned = [Gaussian(turn @ g.mean + 5, turn @ g.covariance @ turn.T) for g in (a, b)]
    scaled = [Gaussian(7 * g.mean, 49 * g.covariance) for g in (a, b)]
    assert squared_wasserstein(*turned) == pytest.approx(expected, rel=1e-10)
    assert squared_wasserstein(*scaled) == pytest.approx(49 * expected, rel=1e-10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # clean-fid calls scipy's sqrtm the old way
@pytest.mark.parametrize("dim", [2, 3, 10, 32, 64, 256])
def test_the_distance_is_that_of_clean_fid_and_torch_fidelity(dim):
    a = rng(1).normal(size=(2 * dim + 50, dim)) @ rng(2).normal(size=(dim, dim))
    b = rng(3).normal(size=(3 * dim + 40, dim)) + 0.5
    first, second = ((x.mean(axis=0), np.cov(x, rowvar=False)) for x in (a, b))
    found = squared_wasserstein(fit(a), fit(b))
    assert found == pytest.approx(cleanfid_distance(*first, *second), rel=1e-6)
    statistics = ({"mu": mean, "sigma": covariance} for mean, covariance in (first, second))
    assert found == pytest.approx(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID], rel=1e-6)


def test_what_is_not_a_number_is_not_a_perfect_score():
    nothing = Gaussian(np.full(2, np.nan), np.eye(2))
    assert np.isnan(squared_wasserstein(nothing, Gaussian(np.zeros(2), np.eye(2))))
