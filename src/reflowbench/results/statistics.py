"""Means and intervals over seeds: Student t, since seeds are few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

CONFIDENCE = 0.95
_ROUNDING = 1e-9
"""A relative half width below this is the rounding of equal values, not an interval."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its t interval.

    Attributes:
        mean: Mean over seeds; NaN if a seed has no value.
        half_width: Half width of the 95 % t interval; None for a single seed, which has none.
        n: Number of seeds.
    """

    mean: float
    half_width: float | None
    n: int

    @property
    def sign(self) -> int:
        """1 or -1 if the interval lies above or below zero, else 0."""
        if self.half_width is None or not abs(self.mean) > self.half_width:
            return 0
        return 1 if self.mean > 0 else -1

    @property
    def bounds(self) -> tuple[float, float]:
        """Both ends; the mean itself for a single seed."""
        width = self.half_width or 0.0
        return self.mean - width, self.mean + width

    def __str__(self) -> str:
        """Such as `12.3 ± 0.4`, to the digits that the interval warrants (at least three for a single seed)."""
        if math.isnan(self.mean):
            return "missing"
        if self.half_width is None:
            return f"{self.mean:.3g}"
        digits = max(0, 1 - math.floor(math.log10(self.half_width))) if self.half_width else 1
        return f"{self.mean:.{digits}f} ± {self.half_width:.{digits}f}"


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % t interval of one value per seed.

    Args:
        values: One per seed.

    Returns:
        The interval; missing if there are no values.
    """
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    if not n:
        return Interval(math.nan, None, 0)
    return from_moments(float(sample.mean()), float(sample.std(ddof=1)) if n > 1 else math.nan, n)


def from_moments(mean: float, std: float, n: int) -> Interval:
    """Mean and 95 % t interval of n values.

    Args:
        mean: Their mean.
        std: Their standard deviation (n - 1); NaN if there is none.
        n: How many.

    Returns:
        The interval.
    """
    if n == 1 or math.isnan(std):
        return Interval(mean, None, n)
    half_width = float(_quantile(n) * std / math.sqrt(n))
    return Interval(mean, half_width if half_width > _ROUNDING * abs(mean) else 0.0, n)


@cache
def _quantile(n: int) -> float:
    """Student's t for the interval of n values; a report asks for thousands of them."""
    from scipy import stats

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))


def paired_test(differences: Sequence[float]) -> float | None:
    """Two-sided p of Student's paired t-test that the mean of differences is zero.

    Args:
        differences: One per seed.

    Returns:
        p; None for a single seed, equal differences or a missing one.
    """
    from scipy import stats

    sample = np.asarray(differences, dtype=np.float64)
    if len(sample) == 1 or not sample.std() > _ROUNDING * abs(sample.mean()):
        return None
    return float(stats.ttest_1samp(sample, 0).pvalue)
