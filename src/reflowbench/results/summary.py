"""The few numbers that answer the question, from the tidy table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reflowbench.core.flow.schemes import ADAPTIVE
from reflowbench.results.statistics import Interval, interval, slope

BASELINE = "reflow"


@dataclass(frozen=True)
class Results:
    """Access to the tidy table by cell, with statistics over seeds.

    Attributes:
        table: The tidy table.
    """

    table: pd.DataFrame

    @property
    def methods(self) -> list[str]:
        """Methods in the order of the grid."""
        return [str(method) for method in self.table["method"].unique()]

    @property
    def rounds(self) -> list[int]:
        """Rounds, from 0."""
        return sorted(int(k) for k in self.table["round"].unique())

    @property
    def seeds(self) -> list[int]:
        """Seeds."""
        return sorted(int(seed) for seed in self.table["seed"].unique())

    @property
    def nfes(self) -> list[int]:
        """NFE values of the fixed-step solver's samples, ascending."""
        fixed = self.table[(self.table["metric"] == "frechet_distance") & (self.table["solver"] != ADAPTIVE)]
        return sorted(int(nfe) for nfe in fixed["nfe"].unique())

    @property
    def solver(self) -> str:
        """The fixed-step solver."""
        samples = self.table[(self.table["metric"] == "frechet_distance") & (self.table["solver"] != ADAPTIVE)]
        return str(samples["solver"].iloc[0])

    def conditions(self, metric: str) -> tuple[str, int]:
        """Features and sample count that a metric was measured with."""
        row = self.table[self.table["metric"] == metric].iloc[0]
        return str(row["features"]), int(row["n_samples"])

    def per_seed(self, method: str, k: int, metric: str, nfe: int | None = None) -> list[float]:
        """One value per seed.

        Args:
            method: Method.
            k: Round.
            metric: Metric.
            nfe: NFE of the fixed-step solver; None for a metric without one; -1 for the adaptive solver.

        Returns:
            Values in the order of `seeds`.
        """
        t = self.table
        cell = t[(t["method"] == method) & (t["round"] == k) & (t["metric"] == metric)]
        if nfe == -1:
            cell = cell[cell["solver"] == ADAPTIVE]
        elif nfe is not None:
            cell = cell[(cell["solver"] == self.solver) & (cell["nfe"] == nfe)]
        return [float(value) for value in cell.sort_values("seed")["value"]]

    def adaptive_nfe(self, method: str, k: int) -> float:
        """Mean NFE over seeds that the adaptive solver took."""
        t = self.table
        rows = t[(t["method"] == method) & (t["round"] == k) & (t["solver"] == ADAPTIVE)]
        return float(rows["nfe"].mean())

    def over_seeds(self, method: str, k: int, metric: str, nfe: int | None = None) -> Interval:
        """Mean and interval over seeds of one cell."""
        return interval(self.per_seed(method, k, metric, nfe))

    def growth(self, method: str, metric: str, nfe: int | None = None) -> Interval:
        """Least-squares slope of a metric over the rounds, per round: interval over seeds."""
        curves = [self.per_seed(method, k, metric, nfe) for k in self.rounds]
        return interval([slope(self.rounds, seed_curve) for seed_curve in zip(*curves, strict=True)])

    def against(self, method: str, other: str, metric: str, nfe: int | None = None) -> Interval:
        """Paired difference at the last round, method minus other: interval over seeds."""
        k = self.rounds[-1]
        pairs = zip(self.per_seed(method, k, metric, nfe), self.per_seed(other, k, metric, nfe), strict=True)
        return interval([a - b for a, b in pairs])

    def relative_to_base(self, method: str, metric: str, nfe: int | None = None) -> Interval:
        """Value of the last round over that of the base model, seed by seed: interval over seeds."""
        pairs = zip(*(self.per_seed(method, k, metric, nfe) for k in (self.rounds[-1], 0)), strict=True)
        return interval([last / base for last, base in pairs])

    def floor(self, metric: str) -> float:
        """Real against real at the same sample count: the mean of what a perfect model would score."""
        values: Sequence[float] = self.table[self.table["metric"] == f"{metric}_floor"]["value"].tolist()
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
            f"{fd}_growth_per_round": _interval(results.growth(method, fd, many)),
            f"{fd}_nfe{few}": _interval(results.over_seeds(method, last, fd, few)),
            "variance_ratio": _interval(results.over_seeds(method, last, "variance_ratio", many)),
            "forward_evaluations_per_update": _number(results.evaluations_per_update(method, "forward")),
            "inversion_evaluations_per_update": _number(results.evaluations_per_update(method, "inversion")),
        }
        if method != BASELINE and BASELINE in results.methods:
            summary[method][f"{fd}_minus_{BASELINE}"] = _interval(results.against(method, BASELINE, fd, many))
    return summary


def _number(value: float) -> float:
    return float(f"{value:.6g}")


def _interval(value: Interval) -> dict[str, float | None]:
    return {
        "mean": _number(value.mean),
        "half_width": None if value.half_width is None else _number(value.half_width),
    }


def fd_by_round(results: Results) -> pd.DataFrame:
    """Mean Frechet distance over seeds at the highest NFE: one row a round, one column a method (for `dvc plots`)."""
    nfe = results.nfes[-1]
    columns = {
        m: [_number(results.over_seeds(m, k, "frechet_distance", nfe).mean) for k in results.rounds]
        for m in results.methods
    }
    return pd.DataFrame({"round": results.rounds} | columns)
