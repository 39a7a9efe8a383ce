import numpy as np
import pytest
import torch
from cleanfid.fid import kernel_distance as cleanfid_kernel_distance
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from reflowbench.core.jackknife import groups_of, jackknife_error
from reflowbench.metrics import kernel
from reflowbench.metrics.kernel import KernelDistance
from reflowbench.metrics.measurement import UndefinedError

RNG = np.random.default_rng(0)


def unit(real):
    """Features of unit mean square, which are not scaled again."""
    return real / np.sqrt(np.square(real).mean())


def mmd(x, y):
    """The definition, pair by pair."""
    k = lambda a, b: (a @ b / x.shape[1] + 1) ** 3  # noqa: E731
    within = [np.mean([k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]) for z in (x, y)]
    return sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])


@pytest.mark.parametrize(("n", "dim"), [(60, 5), (200, 64), (2, 3)])
def test_it_is_that_of_clean_fid_and_torch_fidelity(n, dim):
    """With one subset of all samples; its random order does not matter."""
    a, b = RNG.normal(size=(n, dim)) + 0.3, unit(RNG.normal(size=(n, dim)))
    found = KernelDistance(b)(a)
    assert found == pytest.approx(cleanfid_kernel_distance(a, b, num_subsets=1, max_subset_size=n), rel=1e-6)
    theirs = kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=1, kid_subset_size=n, verbose=False
    )
    assert found == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (20, 30), (31, 7)])
def test_it_is_its_definition_for_any_numbers_of_samples(n, m):
    a, b = RNG.normal(size=(n, 4)) - 0.5, unit(RNG.normal(size=(m, 4)))
    assert KernelDistance(b)(a) == pytest.approx(mmd(a, b), rel=1e-10)


def test_it_does_not_depend_on_the_unit_of_the_features_or_the_order_of_samples():
    a, b = RNG.normal(size=(60, 5)), RNG.normal(size=(50, 5)) + 0.3
    expected = KernelDistance(b)(a)
    assert KernelDistance(7 * b)(7 * a) == pytest.approx(expected)
    assert KernelDistance(b[::-1])(RNG.permutation(a)) == pytest.approx(expected)


def test_it_does_not_depend_on_the_blocks(monkeypatch):
    a, b = RNG.normal(size=(60, 5)), RNG.normal(size=(50, 5)) + 0.3
    whole, left_out = KernelDistance(b).leaving_out(a, 4)
    monkeypatch.setattr(kernel, "BLOCK", 7)
    blocked, blocked_left_out = KernelDistance(b).leaving_out(a, 4)
    assert blocked == pytest.approx(whole) and blocked_left_out == pytest.approx(left_out)


def test_it_is_unbiased_and_sees_a_shift():
    rng = np.random.default_rng(0)
    values = [KernelDistance(rng.normal(size=(30, 3)))(rng.normal(size=(20, 3))) for _ in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert KernelDistance(rng.normal(size=(500, 3)))(rng.normal(size=(500, 3)) + 1) > 10 * np.std(values)


@pytest.mark.parametrize(("n", "groups"), [(30, 4), (31, 4), (30, 30), (30, 1), (3, 3)])
def test_leaving_groups_out_is_computing_without_them(n, groups):
    distance, a = KernelDistance(RNG.normal(size=(40, 3))), RNG.normal(size=(n, 3)) + 0.5
    value, left_out = distance.leaving_out(a, groups)
    assert value == pytest.approx(distance(a), rel=1e-10)
    assert left_out.shape == (groups,)
    if groups > 1:
        expected = [distance(np.delete(a, group, axis=0)) for group in groups_of(n, groups)]
        assert left_out == pytest.approx(expected, rel=1e-9)
        assert jackknife_error(left_out) > 0
    else:
        assert np.isnan(left_out).all()  # nothing is left


def test_there_are_no_more_groups_than_samples():
    distance, a = KernelDistance(RNG.normal(size=(40, 3))), RNG.normal(size=(10, 3))
    expected = [distance(np.delete(a, group, axis=0)) for group in groups_of(10, 16)]
    assert distance.leaving_out(a, 16)[1] == pytest.approx(np.array(expected), rel=1e-9)


def test_too_few_to_pair_are_left():
    value, left_out = KernelDistance(RNG.normal(size=(40, 3))).leaving_out(RNG.normal(size=(2, 3)), 2)
    assert np.isfinite(value) and np.isnan(left_out).all()


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_samples_have_no_distance(n):
    with pytest.raises(UndefinedError, match=f"at least 2 samples, not {n}"):
        KernelDistance(RNG.normal(size=(40, 3)))(np.ones((n, 3)))


@pytest.mark.parametrize("real", [np.zeros((10, 3)), np.ones((1, 3)), np.ones((0, 3))])
def test_real_features_that_give_no_unit_are_no_reference(real):
    with pytest.raises(UndefinedError, match="all zero, or of fewer than 2 images"):
        KernelDistance(real)
