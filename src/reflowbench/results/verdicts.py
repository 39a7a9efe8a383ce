"""Verdicts in words that follow from intervals over seeds alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from reflowbench.results.access import Results
from reflowbench.results.statistics import Interval

MARGIN = 0.05
"""Relative changes whose whole interval is smaller count as none."""
ASPECTS = {"quality": "precision", "diversity": "variance_ratio", "coverage": "coverage"}
"""The metric that stands for each way in which a model can lose: all rise with the aspect."""


@dataclass(frozen=True)
class Verdict:
    """What an interval says.

    Attributes:
        word: `collapses`, `holds`, `improves` or `undecided`, of a trend; `lost`, `kept`, `gained` or
            `undecided`, of an aspect.
        change: What it follows from: slope of the logarithm per round, or relative change to the base.
    """

    word: str
    change: Interval


def judge(change: Interval, margin: float) -> int | None:
    """Decide on a change.

    Args:
        change: Its interval.
        margin: What counts as no change.

    Returns:
        0 if the whole interval lies within the margin; else 1 or -1 if it lies above or below zero; None
        if it does neither, if there is a single seed and hence no interval, or if a value is missing.
    """
    if change.half_width is None or math.isnan(change.mean):
        return None
    low, high = change.bounds
    if -margin < low and high < margin:
        return 0
    return change.sign or None


def verdict(results: Results, method: str, nfe: int) -> Verdict:
    """Does repeated training on own samples collapse the model? By the Frechet distance over all rounds.

    Args:
        results: The table.
        method: Method.
        nfe: NFE of the fixed-step solver.

    Returns:
        `holds` if the Theil-Sen slope of log FD certainly stays within MARGIN per round.
    """
    trend = results.trend(method, "frechet_distance", nfe)
    words = {1: "collapses", 0: "holds", -1: "improves", None: "undecided"}
    return Verdict(words[judge(trend, math.log1p(MARGIN))], trend)


def aspect(results: Results, method: str, name: str, nfe: int, k: int) -> Verdict:
    """Was quality, diversity or coverage lost since the base model?

    Args:
        results: The table.
        method: Method.
        name: Key of ASPECTS.
        nfe: NFE of the fixed-step solver.
        k: Round.

    Returns:
        `kept` if the relative change certainly stays within MARGIN.
    """
    ratio = results.relative_to_base(method, ASPECTS[name], nfe, k)
    change = Interval(ratio.mean - 1, ratio.half_width, ratio.n)
    words = {1: "gained", 0: "kept", -1: "lost", None: "undecided"}
    return Verdict(words[judge(change, MARGIN)], change)


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
