"""Markdown tables of results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from reflowbench.results.access import Results
from reflowbench.results.statistics import Interval

FD = "frechet_distance"
Rows = tuple[list[str], list[list[str]]]
"""Header and rows of a table."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay cells out as a Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plain(value: float, digits: int = 3) -> str:
    """A number without an interval; `missing` if it is not one."""
    return "missing" if math.isnan(value) else f"{value:.{digits}g}"


def round_table(results: Results, cell: Callable[[str, int], Interval]) -> str:
    """One row a method, one column a round."""
    header = ["method", *(f"k = {k}" for k in results.rounds)]
    return table(header, [[m, *(str(cell(m, k)) for k in results.rounds)] for m in results.methods])


def cost_columns(results: Results, method: str) -> list[str]:
    """Network evaluations for pairs per update and pair of the batch: noise to image, image to noise."""
    return [f"{results.evaluations_per_update(method, kind):.3g}" for kind in ("forward", "inversion")]


def models(results: Results) -> list[tuple[str, str, int]]:
    """Label, method and round of the base model and of every method's last model."""
    last = results.last
    return [("base", results.methods[0], 0)] + [(f"{m}, k = {last}", m, last) for m in results.methods]
