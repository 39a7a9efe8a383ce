"""The few numbers that answer the question, from the tidy table."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from reflowbench.results.access import BASELINE, Results
from reflowbench.results.statistics import Interval
from reflowbench.results.verdicts import verdict


def summarize(results: Results, profile: str) -> dict[str, Any]:
    """The summary that `dvc metrics diff` compares.

    Args:
        results: The table.
        profile: Its profile.

    Returns:
        Nested mapping of numbers: the base and the floor, then each method's last round.
    """
    first, last, few, many = results.methods[0], results.rounds[-1], results.nfes[0], results.nfes[-1]
    fd = "frechet_distance"
    summary: dict[str, Any] = {
        "profile": profile,
        "conditions": {
            "classifier_accuracy": results.per_seed(first, 0, "classifier_accuracy")[0],
            "rounds": last,
            "seeds": len(results.seeds),
            "nfe": many,
        },
        "floor": {fd: _number(results.floor(fd))},
        "base": {
            fd: _interval(results.over_seeds(first, 0, fd, many)),
            f"{fd}_nfe{few}": _interval(results.over_seeds(first, 0, fd, few)),
            "variance_ratio": _interval(results.over_seeds(first, 0, "variance_ratio", many)),
        },
    }
    for method in results.methods:
        summary[method] = {
            fd: _interval(results.over_seeds(method, last, fd, many)),
            f"{fd}_log_growth_per_round": _interval(results.trend(method, fd, many)),
            "verdict": verdict(results, method, many).word,
            f"{fd}_nfe{few}": _interval(results.over_seeds(method, last, fd, few)),
            "variance_ratio": _interval(results.over_seeds(method, last, "variance_ratio", many)),
            "forward_evaluations_per_update": _number(results.evaluations_per_update(method, "forward")),
            "inversion_evaluations_per_update": _number(results.evaluations_per_update(method, "inversion")),
        }
        if method != BASELINE and BASELINE in results.methods:
            summary[method][f"{fd}_minus_{BASELINE}"] = _interval(results.against(method, BASELINE, fd, many))
    return summary


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(f"{value:.6g}")


def _interval(value: Interval) -> dict[str, float | None]:
    return {"mean": _number(value.mean), "half_width": _number(value.half_width)}


def fd_by_round(results: Results) -> pd.DataFrame:
    """Mean Frechet distance over seeds at the highest NFE: one row a round, one column a method (for `dvc plots`)."""
    nfe = results.nfes[-1]
    columns = {
        m: [_number(results.over_seeds(m, k, "frechet_distance", nfe).mean) for k in results.rounds]
        for m in results.methods
    }
    return pd.DataFrame({"round": results.rounds} | columns)
