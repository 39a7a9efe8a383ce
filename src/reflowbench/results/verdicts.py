"""Words for changes. They follow from the 95 % interval over seeds alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from reflowbench.results.access import Results
from reflowbench.results.statistics import Interval

STABLE, GROWS, SHRINKS, INCONCLUSIVE = "stable", "grows", "shrinks", "inconclusive"
MARGIN = 0.05
"""A relative change whose whole interval is smaller counts as none."""
GROWTH_MARGIN = math.log1p(MARGIN)
"""The same for the growth of a logarithm a round."""
ASPECTS = {"quality": "precision", "diversity": "variance_ratio", "coverage": "coverage"}
"""The metric that measures each way in which a model can lose. All rise with the aspect."""


@dataclass(frozen=True)
class Verdict:
    """A change in a word.

    Attributes:
        word: STABLE, GROWS, SHRINKS or INCONCLUSIVE.
        change: What it follows from: growth of the logarithm a round, or relative change to the base.
    """

    word: str
    change: Interval


def word(change: Interval, margin: float = MARGIN) -> str:
    """Describe a change by the one rule of the project.

    Args:
        change: Its interval.
        margin: What counts as no change, of the same unit.

    Returns:
        STABLE if the whole interval lies within the margin; else GROWS or SHRINKS if it excludes 0; else
        INCONCLUSIVE, also for a single seed, which has no interval, and where a value is missing.
    """
    if change.half_width is None or math.isnan(change.mean):
        return INCONCLUSIVE
    low, high = change.bounds
    if -margin < low and high < margin:
        return STABLE
    return {1: GROWS, -1: SHRINKS, 0: INCONCLUSIVE}[change.sign]


def verdict(results: Results, method: str, nfe: int, since: int = 0) -> Verdict:
    """Say whether the Frechet distance grows over the rounds.

    Args:
        results: The table.
        method: Method.
        nfe: NFE of the fixed-step solver.
        since: Round from which growth is measured: 0, the base, or the first round.

    Returns:
        The word and the growth of log FD a round.
    """
    growth = results.growth(method, "frechet_distance", nfe, since)
    return Verdict(word(growth, GROWTH_MARGIN), growth)


def aspect(results: Results, method: str, name: str, nfe: int, k: int) -> Verdict:
    """Say whether quality, diversity or coverage changed since the base model.

    Args:
        results: The table.
        method: Method.
        name: Key of ASPECTS.
        nfe: NFE of the fixed-step solver.
        k: Round.

    Returns:
        The word and the relative change.
    """
    ratio = results.relative_to_base(method, ASPECTS[name], nfe, k)
    change = Interval(ratio.mean - 1, ratio.half_width, ratio.n)
    return Verdict(word(change), change)


def aspects(results: Results) -> pd.DataFrame:
    """The verdict on every aspect of every model: one row per method, round, NFE (lowest and highest) and aspect."""
    rows = []
    for method in results.methods:
        for k in results.rounds[1:]:
            for nfe in dict.fromkeys((results.nfes[0], results.nfes[-1])):
                for name, metric in ASPECTS.items():
                    found = aspect(results, method, name, nfe, k)
                    rows.append((method, k, nfe, name, metric, found.change.mean, found.change.half_width, found.word))
    columns = ["method", "round", "nfe", "aspect", "metric", "relative_change", "half_width", "verdict"]
    return pd.DataFrame(rows, columns=columns)
