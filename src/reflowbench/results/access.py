"""The tidy table by cell, with statistics over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import pandas as pd

from reflowbench.core.schemes import ADAPTIVE
from reflowbench.results.statistics import Interval, interval

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
        """Evaluated rounds, from 0; some may be skipped, such as 3 of 0, 1, 2, 4."""
        return sorted(int(k) for k in self.table["round"].unique())

    @cached_property
    def first(self) -> int:
        """The first evaluated round after the base; 1, unless the grid skips it."""
        return self.rounds[1]

    @cached_property
    def last(self) -> int:
        """The last round."""
        return self.rounds[-1]

    @cached_property
    def ends(self) -> list[int]:
        """The first and the last round, after which methods are compared; one round if there is only one."""
        return list(dict.fromkeys((self.first, self.last)))

    @cached_property
    def starts(self) -> list[int]:
        """Rounds since which growth is measured: the base, and the first round if others follow."""
        return [0, *self.ends[:-1]]

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

    def growths(self, method: str, metric: str, nfe: int, since: int) -> list[float]:
        """Growth of the logarithm of a metric a round, from one round to the last.

        Args:
            method: Method.
            metric: Metric.
            nfe: NFE of the fixed-step solver.
            since: The first of the two rounds, K the last one.

        Returns:
            log(value_K / value_since) / (K - since) of each seed; NaN where a value is missing, their ratio is not
            positive, or `since` is the last round.
        """
        rounds = self.last - since
        ratios = self._ratios(method, metric, nfe, self.last, since)
        return [math.log(ratio) / rounds if ratio > 0 and rounds else math.nan for ratio in ratios]

    def growth(self, method: str, metric: str, nfe: int, since: int = 0) -> Interval:
        """Growth of the logarithm of a metric a round, from round `since` to the last one: interval over seeds."""
        return interval(self.growths(method, metric, nfe, since))

    def against(self, method: str, other: str, metric: str, nfe: int | None = None, k: int | None = None) -> Interval:
        """Paired difference after a round (the last one), method minus other: interval over seeds."""
        k = self.last if k is None else k
        pairs = zip(self.per_seed(method, k, metric, nfe), self.per_seed(other, k, metric, nfe), strict=True)
        return interval([a - b for a, b in pairs])

    def relative_to_base(self, method: str, metric: str, nfe: int | None = None, k: int | None = None) -> Interval:
        """Value after a round (the last one) over that of the base model, seed by seed: interval over seeds."""
        return interval(self._ratios(method, metric, nfe, self.last if k is None else k, 0))

    def _ratios(self, method: str, metric: str, nfe: int | None, k: int, start: int) -> list[float]:
        pairs = zip(*(self.per_seed(method, round_, metric, nfe) for round_ in (k, start)), strict=True)
        return [value / first if first else math.nan for value, first in pairs]

    def share_prevented(self, method: str, metric: str, nfe: int) -> Interval:
        """Share of Reflow's growth that a method prevents, after the last round: interval over seeds.

        Args:
            method: Method.
            metric: Metric that grows as models get worse.
            nfe: NFE of the fixed-step solver.

        Returns:
            (reflow - method) / (reflow - base) of each seed. Missing if Reflow's growth is not established (it does not
            exceed its base in every seed, with a 95 % interval above 0 where there are several), or if the method
            starts from another base than Reflow.
        """
        models = ((BASELINE, self.last), (method, self.last), (BASELINE, 0))
        reflow, own, base = (self.per_seed(name, k, metric, nfe) for name, k in models)
        added = [r - b for r, b in zip(reflow, base, strict=True)]
        grows = all(value > 0 for value in added) and (len(added) == 1 or interval(added).sign == 1)
        if not grows or self.per_seed(method, 0, metric, nfe) != base:
            return interval([math.nan] * len(base))
        return interval([(r - m) / a for r, m, a in zip(reflow, own, added, strict=True)])

    def measured(self, metric: str) -> bool:
        """Whether the table has a metric; older tables and other profiles lack some."""
        return metric in self._by_metric

    def mean(self, metric: str) -> float:
        """Mean of a value that does not depend on the model, such as a floor; NaN if the table lacks it."""
        values: Sequence[float] = self.headline(metric)["value"].tolist()
        return sum(values) / len(values) if values else math.nan

    def floor(self, metric: str) -> float:
        """Real images against real ones at the same sample count: what a perfect model scores; NaN if not measured."""
        return self.mean(f"{metric}_floor")

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
