import numpy as np
import pytest

from reflowbench.core.jackknife import groups_of, jackknife_error

RNG = np.random.default_rng(0)


def left_out(statistic, sample, groups):
    return [statistic(np.delete(sample, group, axis=0)) for group in groups_of(len(sample), groups)]


@pytest.mark.parametrize(("n", "groups"), [(16, 4), (17, 4), (5, 5), (3, 16), (1, 2), (100, 1)])
def test_groups_are_contiguous_nearly_equal_and_hold_every_sample_once(n, groups):
    parts = groups_of(n, groups)
    assert len(parts) == min(n, groups)
    assert np.concatenate(parts).tolist() == list(range(n))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1 <= min(sizes)


@pytest.mark.parametrize("n", [2, 7, 100])
def test_the_error_of_a_mean_is_the_textbooks(n):
    """Exactly s / sqrt(n), if every sample is a group."""
    sample = RNG.exponential(size=n)
    error = jackknife_error(left_out(np.mean, sample, n))
    assert error == pytest.approx(sample.std(ddof=1) / n**0.5, rel=1e-10)


def test_the_error_of_a_mean_over_equal_groups_is_that_of_the_groups_means():
    sample = RNG.normal(size=120)
    means = sample.reshape(8, 15).mean(axis=1)
    assert jackknife_error(left_out(np.mean, sample, 8)) == pytest.approx(means.std(ddof=1) / 8**0.5, rel=1e-10)


def test_the_error_has_the_units_of_the_statistic_and_none_of_its_offset():
    values = RNG.normal(size=16)
    assert jackknife_error(5 - 3 * values) == pytest.approx(3 * jackknife_error(values))
    assert jackknife_error(values[::-1]) == pytest.approx(jackknife_error(values))
    assert jackknife_error([2.0] * 16) == 0
    assert jackknife_error([2.0]) == 0


@pytest.mark.parametrize(("statistic", "spread"), [(np.mean, 1.0), (np.var, 2**0.5), (lambda x: np.exp(x.mean()), 1.0)])
def test_the_error_is_the_spread_over_samples_of_the_law(statistic, spread):
    """Of a mean, a variance and a smooth function of the mean, whose spreads over N(0, 1) are known."""
    n, rng = 400, np.random.default_rng(1)
    errors = [jackknife_error(left_out(statistic, rng.normal(size=n), 16)) for _ in range(100)]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(spread / n**0.5, rel=0.1)
