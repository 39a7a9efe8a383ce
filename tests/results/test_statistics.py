"""Intervals and tests over seeds, against closed forms and brute force."""

import math

import numpy as np
import pytest
from scipy import stats

from reflowbench.results.statistics import Interval, interval, paired_test


def test_the_interval_is_students():
    values = [1.0, 2.0, 4.0]
    got = interval(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert got.bounds == pytest.approx((low, high)) and got.n == 3
    two = interval([1.0, 3.0])  # t of one degree of freedom is Cauchy's: quantile tan(0.475 pi); standard error 1
    assert (two.mean, two.half_width) == pytest.approx((2.0, math.tan(0.475 * math.pi)))


def test_the_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(2000, 3))
    covered = np.mean([abs(i.mean) <= i.half_width for i in map(interval, draws)])
    assert covered == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (Interval(3.0, 1.0, 3), 1, "3.0 ± 1.0"),
        (Interval(-3.0, 1.0, 3), -1, "-3.0 ± 1.0"),
        (Interval(0.5, 1.0, 3), 0, "0.5 ± 1.0"),
        (Interval(3.0, None, 1), 0, "3"),
        (Interval(0.12345, 0.0034, 3), 1, "0.1235 ± 0.0034"),
        (Interval(1234.5, 120.0, 3), 1, "1234 ± 120"),
        (Interval(2.0, 0.0, 3), 1, "2.0 ± 0.0"),
        (Interval(math.nan, None, 3), 0, "missing"),
        (Interval(math.nan, None, 1), 0, "missing"),
    ],
)
def test_interval_sign_and_text(value, sign, text):
    assert (value.sign, str(value)) == (sign, text)


@pytest.mark.parametrize("values", [[1.0, math.nan, 2.0], [math.nan] * 3, [math.nan], []])
def test_a_missing_seed_makes_the_mean_missing(values):
    """A mean of the seeds that are left would be of another set of models."""
    got = interval(values)
    assert math.isnan(got.mean) and got.half_width is None and got.n == len(values)


def test_a_single_seed_has_its_value_and_no_interval():
    assert interval([2.5]) == Interval(2.5, None, 1)
    assert interval([2.5]).bounds == (2.5, 2.5)


def test_the_paired_test_is_students():
    a, b = np.random.default_rng(0).normal(size=(2, 6))
    assert paired_test(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue) == pytest.approx(paired_test(b - a))
    # of two values t has one degree of freedom: t = 2 / 1, p = 1 - 2 atan(2) / pi
    assert paired_test([1.0, 3.0]) == pytest.approx(1 - 2 * math.atan(2) / math.pi)


def test_the_paired_test_and_the_interval_say_the_same():
    draws = np.random.default_rng(0).normal(1.0, 0.5, size=(300, 3))
    significant = [interval(d).sign != 0 for d in draws]
    assert significant == [paired_test(d) < 0.05 for d in draws] and 0 < sum(significant) < 300


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0, 0.0], [2.0, 2.0], [1.0, math.nan, 2.0]])
def test_there_is_no_test_without_a_spread(values):
    assert paired_test(values) is None
