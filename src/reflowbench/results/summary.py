"""The few numbers that answer the question, from the tidy table."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pandas as pd

from reflowbench.results.access import BASELINE, Results
from reflowbench.results.statistics import Interval
from reflowbench.results.verdicts import verdict


def summarize(results: Results, profile: str) -> dict[str, Any]:
    """Summarize a table, as MLflow shows it.

    Args:
        results: The table.
        profile: Its profile.

    Returns:
        Nested mapping of numbers: the base and the floor, then each method's last round.
    """
    few, many, fd = results.nfes[0], results.nfes[-1], "frechet_distance"

    def measured(method: str, k: int) -> dict[str, Any]:
        cells = {fd: (fd, many), f"{fd}_nfe{few}": (fd, few), "variance_ratio": ("variance_ratio", many)}
        return {name: _interval(results.over_seeds(method, k, *cell)) for name, cell in cells.items()}

    summary: dict[str, Any] = {
        "profile": profile,
        "conditions": {
            "classifier_accuracy": results.per_seed(results.methods[0], 0, "classifier_accuracy")[0],
            "rounds": results.last,
            "seeds": len(results.seeds),
            "nfe": many,
        },
        "floor": {fd: _number(results.floor(fd))},
        "base": measured(results.methods[0], 0),
    }
    for method in results.methods:
        entry = measured(method, results.last)
        entry["verdict"] = verdict(results, method, many).word
        for start in results.starts:
            since = f"round{start}" if start else "base"
            entry[f"log_growth_since_{since}"] = _interval(results.growth(method, fd, many, start))
        entry[f"{fd}_nfe{few}_round{results.first}"] = _interval(results.over_seeds(method, results.first, fd, few))
        for kind in ("forward", "inversion"):
            entry[f"{kind}_evaluations_per_update"] = _number(results.evaluations_per_update(method, kind))
        if method != BASELINE and BASELINE in results.methods:
            entry["share_prevented"] = _interval(results.share_prevented(method, fd, many))
            for k, (name, nfe) in itertools.product(results.ends, ((fd, many), (f"{fd}_nfe{few}", few))):
                after = "" if k == results.last else f"_round{k}"
                entry[f"{name}{after}_minus_{BASELINE}"] = _interval(results.against(method, BASELINE, fd, nfe, k))
        summary[method] = entry
    return summary


def headline(results: Results) -> dict[str, dict[str, float | None]]:
    """Give the numbers that `dvc metrics` and `dvc exp show` compare: means over seeds, to four significant digits.

    Args:
        results: The table.

    Returns:
        For each method: `fd`, the Frechet distance at the highest NFE after the last round; `growth` of its logarithm
        per round since the base model; `one_step_first` and `one_step_last`, the Frechet distance at the lowest NFE
        after the first evaluated round and after the last one. None where a value is missing.
    """
    few, many, fd = results.nfes[0], results.nfes[-1], "frechet_distance"
    return {
        method: {
            "fd": _number(results.over_seeds(method, results.last, fd, many).mean, 4),
            "growth": _number(results.growth(method, fd, many).mean, 4),
            "one_step_first": _number(results.over_seeds(method, results.first, fd, few).mean, 4),
            "one_step_last": _number(results.over_seeds(method, results.last, fd, few).mean, 4),
        }
        for method in results.methods
    }


def _number(value: float | None, digits: int = 6) -> float | None:
    return None if value is None or math.isnan(value) else float(f"{value:.{digits}g}")


def _interval(value: Interval) -> dict[str, float | None]:
    return {"mean": _number(value.mean), "half_width": _number(value.half_width)}


def fd_by_round(results: Results) -> pd.DataFrame:
    """Mean Frechet distance over seeds at the highest NFE: one row a round, one column a method (for `dvc plots`)."""
    columns = {m: [_fd(results, m, k, results.nfes[-1]) for k in results.rounds] for m in results.methods}
    return pd.DataFrame({"round": results.rounds} | columns)


def fd_by_nfe(results: Results) -> pd.DataFrame:
    """Mean Frechet distance over seeds after the last round: one row an NFE, one column a method (for `dvc plots`)."""
    columns = {m: [_fd(results, m, results.last, nfe) for nfe in results.nfes] for m in results.methods}
    return pd.DataFrame({"nfe": results.nfes} | columns)


def _fd(results: Results, method: str, k: int, nfe: int) -> float | None:
    return _number(results.over_seeds(method, k, "frechet_distance", nfe).mean)
