"""Rectified flows to laws in closed form: figures and tables of the methods by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from reflowbench.report.drawing import COLOURS, MARKERS, log_axis, save
from reflowbench.results.statistics import Interval, interval
from reflowbench.theory.gaussian.targets import target
from reflowbench.theory.params import TheoryGaussianParams
from reflowbench.theory.report.round_figures import panels

NAMES = {
    "bures": "Wasserstein-2 between moments (Bures)",
    "sliced_wasserstein": "sliced Wasserstein-2",
    "variance_ratio": "variance relative to the truth",
    "mean_error": "error of the mean (in standard deviations)",
    "covariance_error": "error of the covariance (relative)",
    "mode_weight_error": "error of the mode weights (total variation)",
}
"""What is shown, and how it is called."""
_SHOWN = 1.4
"""Coordinates up to which trajectories are drawn: the laws lie within 1, most noise outside."""
REFERENCES = ("base", "real", "exact")


@dataclass(frozen=True)
class Flows:
    """Access to the scores.

    Attributes:
        table: All rows, of the base stage and of the methods.
        params: What was run.
    """

    table: pd.DataFrame
    params: TheoryGaussianParams

    @property
    def methods(self) -> list[str]:
        """Methods, in the order of the parameters."""
        return [name for name in self.table["method"].unique() if name not in REFERENCES]

    @property
    def controls(self) -> list[str]:
        """Methods that train on no sample of a model: they never evaluated one to make pairs."""
        t = self.table
        made = t[t["metric"].isin(("forward_evaluations", "inversion_evaluations"))].groupby("method")["value"].max()
        return [name for name in self.methods if made.get(name) == 0]

    @property
    def nfe(self) -> int:
        """The highest NFE, which quality is read at."""
        return max(self.params.nfe)

    def value(self, target_: str, dim: int, method: str, round_: int, metric: str, nfe: int | None = None) -> Interval:
        """Mean and interval over seeds.

        Args:
            target_: Name of the law.
            dim: Its dimension.
            method: A method, whose round 0 is the base model; or `real`, samples of the law itself.
            round_: Round.
            metric: Which score.
            nfe: Network evaluations; the highest if None.

        Returns:
            The interval, over the seeds that have this score.
        """
        t = self.table
        method = "base" if not round_ and method in self.methods else method
        nfe = 0 if method == "real" else (nfe or self.nfe)
        keys = (t["target"] == target_) & (t["dim"] == dim) & (t["method"] == method) & (t["metric"] == metric)
        return interval(t[keys & (t["round"] == round_) & (t["nfe"] == nfe)].sort_values("seed")["value"].tolist())

    def missing(self) -> list[str]:
        """Every reason for missing values, with where it is."""
        gaps = self.table[self.table["missing"].notna()]
        groups = gaps.groupby(["method", "target", "dim", "seed"], sort=False)
        return [
            f"{method}, {name} in {dim} dimensions, seed {seed}, from round {rows['round'].min()}: "
            f"{rows['missing'].iloc[0]}"
            for (method, name, dim, seed), rows in groups
        ]


def has(flows: Flows, target_: str, metric: str) -> bool:
    """Whether a law has a score: a Gaussian has no modes."""
    t = flows.table
    return bool(((t["target"] == target_) & (t["metric"] == metric)).any())


def rounds_figure(flows: Flows, metric: str, path: Path) -> None:
    """A score by round: a row of panels per law, a column per dimension, a curve per method."""
    p = flows.params
    names = [name for name in p.targets if has(flows, name, metric)]
    figure, axes = panels(len(names), len(p.dims), 3.6, 2.8, sharex=True)
    for (i, name), (j, dim) in ((row, column) for row in enumerate(names) for column in enumerate(p.dims)):
        axis = axes[i, j]
        for index, method in enumerate(flows.methods):
            values = [flows.value(name, dim, method, k, metric) for k in range(p.rounds + 1)]
            axis.errorbar(
                range(p.rounds + 1),
                [v.mean for v in values],
                yerr=[v.half_width or 0 for v in values],
                label=method,
                color=COLOURS[index % len(COLOURS)],
                marker=MARKERS[index % len(MARKERS)],
                markersize=4,
                capsize=2,
                linewidth=1.2,
            )
        floor = flows.value(name, dim, "real", 0, metric).mean
        axis.axhline(floor, color="0.4", linestyle="--", linewidth=1, label="samples of the law itself")
        axis.set_title(f"{name}, {dim} dimensions", fontsize=9)
        if metric != "variance_ratio":
            log_axis(axis, "y")
            shown = [mean for line in axis.lines if (mean := np.nanmin(line.get_ydata())) > 0]
            axis.set_ylim(bottom=min([floor, *shown]) / 2)  # an interval may reach below zero
        axis.set_xticks(range(0, p.rounds + 1, max(1, p.rounds // 5)))
    for axis in axes[-1]:
        axis.set_xlabel("round k")
    for axis in axes[:, 0]:
        axis.set_ylabel(NAMES[metric].replace(" (", "\n("), fontsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=8)
    figure.suptitle(
        f"{NAMES[metric]}, {p.n_samples} samples at NFE {flows.nfe} (95 % intervals, {len(p.seeds)} seeds)", fontsize=10
    )
    save(figure, path)


def trajectories_figure(
    flows: Flows, paths: dict[str, torch.Tensor], base: torch.Tensor, target_: str, path: Path
) -> None:
    """Trajectories in two dimensions: a row per method, a column per round.

    Args:
        flows: The scores, for the methods and rounds.
        paths: By method, states of shape (rounds, steps + 1, n, 2); rounds after a divergence are not there.
        base: The same of the base model, as of one round.
        target_: Name of the law.
        path: PNG file.
    """
    p, law = flows.params, target(target_, 2)
    truth = law.sample(600, torch.Generator().manual_seed(0))[0].numpy()
    figure, axes = panels(len(flows.methods), p.rounds + 1, 1.25, 1.25, layout=None, sharex=True, sharey=True)
    # Finding a layout for so many panels would take ten seconds.
    figure.subplots_adjust(left=0.045, right=0.995, bottom=0.09, top=0.88, wspace=0.1, hspace=0.1)
    for i, method in enumerate(flows.methods):
        rounds = [base[0], *paths.get(method, [])]
        for k, axis in enumerate(axes[i]):
            axis.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1), xlim=(-_SHOWN, _SHOWN), ylim=(-_SHOWN, _SHOWN))
            axis.tick_params(labelsize=6)
            axis.plot(*truth.T, ".", color="0.75", markersize=1.5, zorder=0)
            if k < len(rounds):
                _draw(axis, np.asarray(rounds[k]), COLOURS[i % len(COLOURS)])
            else:
                axis.text(0, 0, "diverged", ha="center", va="center", fontsize=7)
            if not i:
                axis.set_title(f"k = {k}", fontsize=8)
        axes[i, 0].set_ylabel(f"{method}\nsecond coordinate", fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("first coordinate", fontsize=6)
    figure.suptitle(
        f"Trajectories to the {target_} law in two dimensions by round, NFE {flows.nfe}, seed {p.seeds[0]}: lines "
        "come from the noise (standard deviation 1) and end in samples (black); grey: the law itself",
        fontsize=9,
    )
    save(figure, path)


def _draw(axis: Any, states: Any, colour: str) -> None:
    axis.plot(states[:, :, 0], states[:, :, 1], color=colour, linewidth=0.4, alpha=0.8)
    axis.plot(states[-1, :, 0], states[-1, :, 1], ".", color="black", markersize=2)


def table(flows: Flows, metric: str, nfe: int, rounds: Sequence[int]) -> str:
    """Markdown table of a score: a line per law, dimension and round, a column per method."""
    p = flows.params
    lines = [
        f"| law, dimensions | floor | round | {' | '.join(flows.methods)} |",
        "| --- | --: | --: |" + " --: |" * len(flows.methods),
    ]
    for name, dim in ((name, dim) for name in p.targets if has(flows, name, metric) for dim in p.dims):
        floor = flows.value(name, dim, "real", 0, metric)
        for k in rounds:
            values = [str(flows.value(name, dim, method, k, metric, nfe)) for method in flows.methods]
            lines.append(f"| {name}, {dim} | {floor} | {k} | {' | '.join(values)} |")
    return "\n".join(lines)
