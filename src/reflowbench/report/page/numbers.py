"""Every number of the page, by cell: one pass over the tidy table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reflowbench.core.schemes import ADAPTIVE
from reflowbench.report.drawing import COLOURS
from reflowbench.report.tables import FD
from reflowbench.results.access import Results
from reflowbench.results.statistics import Interval, interval

BASE = "base"
"""What the page calls the model of round 0."""
ADAPTIVE_NFE = -1
"""Stands for the number of evaluations that the adaptive solver took, which differs between seeds."""
KEYS = ["method", "round", "solver", "nfe", "features", "n_samples", "metric"]
_ABSENT = Interval(math.nan, None, 0)


@dataclass(frozen=True)
class Numbers:
    """Means and intervals over seeds of all cells.

    Attributes:
        results: The table.
    """

    results: Results

    @cached_property
    def means(self) -> list[tuple[dict[str, Any], Interval, str]]:
        """Conditions of a cell, its interval over seeds and why it is missing, in the order of the table."""
        table = self.results.table
        table = table.assign(nfe=table["nfe"].where(table["solver"] != ADAPTIVE, ADAPTIVE_NFE))
        found = []
        for key, group in table.groupby(KEYS, sort=False):
            reasons = [reason for reason in group["missing"] if reason]
            over_seeds = interval([float(value) for value in group["value"]])
            found.append((dict(zip(KEYS, key, strict=True)), over_seeds, reasons[0] if reasons else ""))
        return found

    @cached_property
    def _by_cell(self) -> Mapping[tuple[str, int, str, int], Interval]:
        """By method, round, metric and NFE, in the first feature space of each metric."""
        first: dict[str, str] = {}
        cells = {}
        for key, over_seeds, _ in self.means:
            metric = key["metric"]
            if key["features"] == first.setdefault(metric, key["features"]):
                cells[key["method"], int(key["round"]), metric, int(key["nfe"])] = over_seeds
        return cells

    def at(self, method: str, k: int, metric: str, nfe: int = 0) -> Interval:
        """Interval over seeds of one cell; NaN if there is none."""
        return self._by_cell.get((method, k, metric, nfe), _ABSENT)

    @property
    def frechet(self) -> dict[tuple[str, int, int], Interval]:
        """Every Frechet distance by method, round and NFE."""
        return {(m, k, nfe): found for (m, k, metric, nfe), found in self._by_cell.items() if metric == FD}

    @property
    def last_models(self) -> list[tuple[str, str, int]]:
        """Name, method and round of the base model and of every method's last model."""
        last = self.results.last
        return [(BASE, self.results.methods[0], 0), *((method, method, last) for method in self.results.methods)]

    def evaluations(self, method: str, k: int) -> float:
        """Network evaluations of a chain up to a round, after its base: training and pairs, forward and back.

        A round that was not evaluated counts as much as the next one that was.

        Args:
            method: Method.
            k: Round.

        Returns:
            The mean over seeds; NaN if an evaluated round lacks the number.
        """
        kinds = [f"{kind}_evaluations" for kind in ("train", "forward", "inversion")]
        pairs = [(before, after) for before, after in itertools.pairwise(self.results.rounds) if after <= k]
        spent = {after: sum(self.at(method, after, kind).mean for kind in kinds) for _, after in pairs}
        return float(sum((after - before) * spent[after] for before, after in pairs))


def colour_of(index: int) -> str:
    """Colour of a method, the same as in the figures of the Markdown report."""
    return COLOURS[index % len(COLOURS)]
