"""The tidy table by cell, with statistics over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import pandas as pd

from reflowbench.core.schemes import ADAPTIVE
from reflowbench.results.statistics import Interval, interval, theil_sen

BASELINE = "reflow"


@dataclass(frozen=True)
class Results:
    """Access to the tidy table by cell, with statistics over seeds.

    Attributes:
        table: The tidy table.
    """

    table: pd.DataFrame

    @cached_property
    def methods(self) -> list[str]:
        """Methods in the order of the grid."""
        return [str(method) for method in self.table["method"].unique()]

    @cached_property
    def rounds(self) -> list[int]:
        """Rounds, from 0."""
        return sorted(int(k) for k in self.table["round"].unique())

    @cached_property
    def seeds(self) -> list[int]:
        """Seeds."""
        return sorted(int(seed) for seed in self.table["seed"].unique())

    @cached_property
    def nfes(self) -> list[int]:
        """NFE values of the fixed-step solver's samples, ascending."""
        return sorted(int(nfe) for nfe in self._fixed["nfe"].unique())

    @cached_property
    def solver(self) -> str:
        """The fixed-step solver."""
        return str(self._fixed["solver"].iloc[0])

    @cached_property
    def _fixed(self) -> pd.DataFrame:
        return self.table[(self.table["metric"] == "frechet_distance") & (self.table["solver"] != ADAPTIVE)]

    @cached_property
    def _by_metric(self) -> Mapping[str, pd.DataFrame]:
        """Rows of each metric. A report asks for hundreds of cells; to search the whole table for each takes long."""
        return {str(metric): rows for metric, rows in self.table.groupby("metric", sort=False)}

    @cached_property
    def _models(self) -> Mapping[tuple[str, str, int], pd.DataFrame]:
        """Rows of each metric and model, in the first feature space of the metric."""
        found = {}
        for metric in self._by_metric:
            for key, rows in self.headline(metric).sort_values("seed", kind="stable").groupby(["method", "round"]):
                method, k = cast("tuple[str, int]", key)
                found[metric, method, k] = rows
        return found

    def headline(self, metric: str) -> pd.DataFrame:
        """Rows of a metric in the first of its feature spaces (`evaluate.features`)."""
        rows = self._by_metric.get(metric, self.table.iloc[:0])
        return rows[rows["features"] == rows["features"].iloc[0]] if len(rows) else rows

    def conditions(self, metric: str) -> tuple[str, int]:
        """Features and sample count that a metric was measured with."""
        row = self.headline(metric).iloc[0]
        return str(row["features"]), int(row["n_samples"])

    def per_seed(self, method: str, k: int, metric: str, nfe: int | None = None) -> list[float]:
        """One value per seed.

        Args:
            method: Method.
            k: Round.
            metric: Metric.
            nfe: NFE of the fixed-step solver; None for a metric without one; -1 for the adaptive solver.

        Returns:
            Values in the order of `seeds`; NaN where one could not be computed.
        """
        cell = self._models.get((metric, method, k), self.table.iloc[:0])
        if nfe == -1:
            cell = cell[cell["solver"] == ADAPTIVE]
        elif nfe is not None:
            cell = cell[(cell["solver"] == self.solver) & (cell["nfe"] == nfe)]
        return [float(value) for value in cell["value"]]

    def adaptive_nfe(self, method: str, k: int) -> float:
        """Mean NFE over seeds that the adaptive solver took; NaN if it failed in one."""
        t = self.table
        rows = t[(t["method"] == method) & (t["round"] == k) & (t["solver"] == ADAPTIVE)]
        return float(rows["nfe"].where(rows["nfe"] > 0).mean(skipna=False))

    def over_seeds(self, method: str, k: int, metric: str, nfe: int | None = None) -> Interval:
        """Mean and interval over seeds of one cell."""
        return interval(self.per_seed(method, k, metric, nfe))

    def trend(self, method: str, metric: str, nfe: int | None = None) -> Interval:
        """Theil-Sen slope of the logarithm of a metric over the rounds, per round: interval over seeds."""
        curves = [self.per_seed(method, k, metric, nfe) for k in self.rounds]
        return interval([theil_sen(self.rounds, _logarithms(curve)) for curve in zip(*curves, strict=True)])

    def against(self, method: str, other: str, metric: str, nfe: int | None = None) -> Interval:
        """Paired difference at the last round, method minus other: interval over seeds."""
        k = self.rounds[-1]
        pairs = zip(self.per_seed(method, k, metric, nfe), self.per_seed(other, k, metric, nfe), strict=True)
        return interval([a - b for a, b in pairs])

    def relative_to_base(self, method: str, metric: str, nfe: int | None = None, k: int | None = None) -> Interval:
        """Value after a round (the last one) over that of the base model, seed by seed: interval over seeds."""
        rounds = (self.rounds[-1] if k is None else k, 0)
        pairs = zip(*(self.per_seed(method, k, metric, nfe) for k in rounds), strict=True)
        return interval([last / base if base else math.nan for last, base in pairs])

    def floor(self, metric: str) -> float:
        """Real against real at the same sample count: the mean of what a perfect model would score."""
        values: Sequence[float] = self.headline(f"{metric}_floor")["value"].tolist()
        return sum(values) / len(values)

    def evaluations_per_update(self, method: str, kind: str) -> float:
        """Network evaluations for pairs per optimizer update and pair of the batch, mean over rounds and seeds.

        Args:
            method: Method.
            kind: `forward` (noise to image) or `inversion` (image to noise).

        Returns:
            The mean.
        """
        trained = self.table[(self.table["method"] == method) & (self.table["round"] > 0)]
        total = trained.groupby("metric")["value"].sum()
        return float(total[f"{kind}_evaluations"] / total["train_evaluations"])


def _logarithms(values: Sequence[float]) -> list[float]:
    return [math.log(value) if value > 0 else math.nan for value in values]
