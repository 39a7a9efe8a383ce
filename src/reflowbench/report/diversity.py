"""Figures of what FD alone hides: quality, diversity and coverage by round, and the directions that are lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from reflowbench.report.drawing import COLOURS, curve, legend_beside, log_axis, one_axes, round_axis, seeds_of
from reflowbench.results.access import Results

_PANELS = {
    "precision": "precision (quality)",
    "variance_ratio": "variance / real (diversity)",
    "coverage": "coverage",
    "recall": "recall (coverage)",
    "effective_rank": "effective rank (diversity)",
    "class_score": "class score (quality and diversity)",
}

SHOWN = 0.999
"""Share of the real variance whose directions are shown: in the others images vary by rounding alone."""


def panel(results: Results) -> Any:
    """One small panel per metric, all methods by round; dotted: real images."""
    from matplotlib import pyplot

    nfe = results.nfes[-1]
    figure, grid = pyplot.subplots(2, 3, figsize=(10.8, 5.6), layout="constrained", sharex=True)
    for axes, (metric, label) in zip(grid.flat, _PANELS.items(), strict=True):
        axes.axhline(results.floor(metric), color="0.4", linestyle=":", linewidth=1, label="real images")
        for index, method in enumerate(results.methods):
            values = [results.over_seeds(method, k, metric, nfe) for k in results.rounds]
            curve(axes, index, method, list(map(float, results.rounds)), values)
        axes.set_title(label, fontsize=9)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        round_axis(axes, results)
    legend_beside(figure, grid[0][0])
    figure.suptitle(f"{results.solver} at NFE {nfe}; {seeds_of(results)}", fontsize=10)
    return figure


def spectrum(results: Results, spectra: pd.DataFrame) -> Any:
    """Eigenvalues of the samples' covariance over those of real images, largest first."""
    last = results.last
    figure, axes = one_axes(7.6)
    real = spectra["real"].to_numpy()
    kept = np.cumsum(real) - real < SHOWN * real.sum()
    index = np.arange(1, kept.sum() + 1)
    axes.axhline(1.0, color="0.4", linestyle=":", linewidth=1, label="real images")
    models = [(f"{results.methods[0]}_k0", "base (k = 0)", "0.4", "--")]
    models += [
        (f"{m}_k{last}", f"{m} (k = {last})", COLOURS[i % len(COLOURS)], "-") for i, m in enumerate(results.methods)
    ]
    for name, label, colour, line in models:
        if name in spectra:
            axes.plot(index, spectra[name].to_numpy()[kept] / real[kept], label=label, color=colour, linestyle=line)
    log_axis(axes, "y")
    axes.set(
        xlabel=f"eigenvalue number ({SHOWN:.1%} of the real variance)", ylabel="variance / variance of real images"
    )
    axes.set_title(f"Covariance spectrum, {results.solver} at NFE {results.nfes[-1]}; mean over seeds", fontsize=10)
    legend_beside(figure, axes)
    return figure
