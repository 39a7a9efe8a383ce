"""The tidy table for the page's script, column by column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from reflowbench.report.page.numbers import KEYS, Numbers

Column = dict[str, Any]


def columns(numbers: Numbers) -> dict[str, dict[str, Column]]:
    """Both tables that the reader chooses from.

    Args:
        numbers: All numbers.

    Returns:
        `means`: one row a cell, with mean and interval over seeds. `seeds`: the rows of results.csv. Texts are
        numbered, since few differ; a number that is missing is null.
    """
    table = numbers.results.table
    keys = [key for key, _, _ in numbers.means]
    means = {name: _texts([key[name] for key in keys]) for name in ("method", "solver", "features", "metric")}
    means |= {name: _numbers([key[name] for key in keys]) for name in ("round", "nfe", "n_samples")}
    means["mean"] = _numbers([float(f"{found.mean:.6g}") for _, found, _ in numbers.means])
    means["text"] = _texts([str(found) for _, found, _ in numbers.means])
    means["missing"] = _texts([reason for _, _, reason in numbers.means])
    seeds = {name: _texts(table[name].tolist()) for name in ("method", "solver", "features", "metric", "missing")}
    seeds |= {name: _numbers(table[name].tolist()) for name in ("seed", "round", "nfe", "n_samples", "value", "error")}
    return {
        "means": {name: means[name] for name in (*KEYS, "mean", "text", "missing")},
        "seeds": {name: seeds[name] for name in ("method", "seed", *KEYS[1:], "value", "error", "missing")},
    }


def _texts(values: Sequence[str]) -> Column:
    levels = {value: i for i, value in enumerate(dict.fromkeys(values))}
    return {"levels": list(levels), "codes": [levels[value] for value in values]}


def _numbers(values: Sequence[float]) -> Column:
    return {"values": [None if math.isnan(v) else int(v) if float(v).is_integer() else float(v) for v in values]}
