"""Phase diagrams of the linear autoencoder: the gain that is left after many rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reflowbench.report.drawing import save
from reflowbench.theory.dae.finite_sample import finite_sample
from reflowbench.theory.dae.recursion import Array, population_gains
from reflowbench.theory.params import TheoryPhaseParams
from reflowbench.theory.report.round_figures import panels
from reflowbench.theory.report.rounds import FADED


def measured(table: pd.DataFrame, params: TheoryPhaseParams, name: str, column: str = "gains_1") -> Array:
    """A diagram of what was measured.

    Args:
        table: Lines of `theory_phase`.
        params: What was run.
        name: `noise` (by `params.n` samples) or `samples` (at noise `params.q`): the second axis.
        column: Which column.

    Returns:
        Shape (values of `name`, real shares).
    """
    other, value = ("samples", params.n) if name == "noise" else ("noise", params.q)
    chosen = table[table[other] == value].pivot(index=name, columns="real", values=column)
    return np.asarray(chosen.loc[getattr(params, name), params.real_fractions], dtype=np.float64)


def closed_form(params: TheoryPhaseParams) -> Array:
    """The same diagram over noise with infinitely many samples, shape (noises, real shares)."""
    shares = params.real_fractions
    return np.array([[population_gains([1.0], q, r, params.rounds)[-1, 0] for r in shares] for q in params.noise])


def deviations(table: pd.DataFrame, params: TheoryPhaseParams) -> Array:
    """Measured less closed form over noise, in standard errors of the mean, which are the finite-sample theory's.

    Returns:
        Shape (noises, real shares); NaN where the gain has faded, or where the theory does not hold to the last round.
    """
    form, found = closed_form(params), measured(table, params, "noise")
    z = np.full(form.shape, np.nan)
    for (i, j), value in np.ndenumerate(form):
        law = finite_sample([1.0], params.dim, params.noise[i], params.real_fractions[j], params.rounds, params.n)
        if value >= FADED and law.valid[-1, 0]:
            z[i, j] = (found[i, j] - value) / (law.std[-1, 0] / params.seeds**0.5)
    return z


def _heat(axes: Any, values: Array, x: list[float], y: list[float], **scale: Any) -> Any:
    image = axes.imshow(values, origin="lower", aspect="auto", **scale)
    axes.grid(False)
    axes.set_xticks(range(len(x)), [f"{v:g}" for v in x])
    axes.set_yticks(range(len(y)), [f"{v:g}" for v in y])
    axes.set_xlabel("share r of real data")
    low, high = image.get_clim()
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            bright = abs((value - low) / (high - low) - 0.5) < 0.25 if "cmap" in scale else value > (low + high) / 2
            text = "0" if abs(value) < FADED / 2 else f"{value:.2g}"
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color="black" if bright else "white")
    return image


def noise_figure(table: pd.DataFrame, params: TheoryPhaseParams, path: Path) -> None:
    """Gain over real share and noise: closed form, measured, and the difference in standard errors."""
    figure, axes = panels(1, 3, 3.9, 3.4)
    shares, noises = params.real_fractions, params.noise
    for axis, values, title in (
        (axes[0, 0], closed_form(params), "closed form"),
        (axes[0, 1], measured(table, params, "noise"), f"measured, {params.n} samples a round"),
    ):
        image = _heat(axis, values, shares, noises, vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
    figure.colorbar(image, ax=axes[0, 1], label="gain")
    image = _heat(axes[0, 2], deviations(table, params), shares, noises, vmin=-4, vmax=4, cmap="RdBu")
    axes[0, 2].set_title("difference", fontsize=9)
    figure.colorbar(image, ax=axes[0, 2], label=f"standard errors of the mean of {params.seeds}")
    axes[0, 0].set_ylabel("noise variance q (data variance 1)")
    figure.suptitle(f"Gain of a linear autoencoder after {params.rounds} rounds on its own outputs", fontsize=10)
    save(figure, path)


def samples_figure(table: pd.DataFrame, params: TheoryPhaseParams, path: Path) -> None:
    """Gain over real share and samples per round: mean, and standard deviation over repetitions."""
    figure, axes = panels(1, 2, 4.4, 3.6)
    for axis, column, title in (
        (axes[0, 0], "gains_1", f"mean of {params.seeds} repetitions"),
        (axes[0, 1], "gains_1_std", "standard deviation over repetitions"),
    ):
        values = measured(table, params, "samples", column)
        top = 1 if column == "gains_1" else float(np.nanmax(values))
        image = _heat(axis, values, params.real_fractions, list(params.samples), vmin=0, vmax=top)
        axis.set_title(title, fontsize=9)
        figure.colorbar(image, ax=axis, label="gain")
    axes[0, 0].set_ylabel("samples per round")
    figure.suptitle(
        f"Gain after {params.rounds} rounds, measured, noise variance q = {params.q:g} (data variance 1)", fontsize=10
    )
    save(figure, path)
