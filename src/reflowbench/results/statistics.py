"""Means and intervals over seeds: Student t, since seeds are few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
_ROUNDING = 1e-9
"""A relative half width below this is the rounding of equal values, not an interval."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its t interval.

    Attributes:
        mean: Mean over seeds.
        half_width: Half width of the 95 % t interval; None for a single seed, which has none.
        n: Number of seeds.
    """

    mean: float
    half_width: float | None
    n: int

    @property
    def sign(self) -> int:
        """1 or -1 if the interval lies above or below zero, else 0."""
        if self.half_width is None or abs(self.mean) <= self.half_width:
            return 0
        return 1 if self.mean > 0 else -1

    def __str__(self) -> str:
        """Such as `12.3 ± 0.4`, to the digits that the interval warrants (at least three for a single seed)."""
        if self.half_width is None:
            return f"{self.mean:.3g}"
        digits = (
            1 if self.half_width <= _ROUNDING * abs(self.mean) else max(0, 1 - math.floor(math.log10(self.half_width)))
        )
        return f"{self.mean:.{digits}f} ± {self.half_width:.{digits}f}"


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % t interval of one value per seed.

    Args:
        values: One per seed, at least one.

    Returns:
        The interval.
    """
    from scipy import stats

    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    if n == 1:
        return Interval(float(sample[0]), None, 1)
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return Interval(float(sample.mean()), float(quantile * sample.std(ddof=1) / math.sqrt(n)), n)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Least-squares slope of y over x."""
    return float(np.polyfit(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64), 1)[0])
