"""Figures of the report, as PNG with deterministic bytes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reflowbench.report import diversity
from reflowbench.report.drawing import (
    COLOURS,
    canvas,
    curve,
    legend_beside,
    log_axis,
    one_axes,
    round_axis,
    save,
    seeds_of,
)
from reflowbench.results.access import Results
from reflowbench.runtime.artifacts import read_tensors
from reflowbench.runtime.evaluations import BASE, SAMPLES_FILE, cell_folder, distance_name


def write_figures(results: Results, evaluations: Path, spectra: pd.DataFrame, folder: Path) -> None:
    """Draw every figure of the report into a folder, whole or not at all.

    Args:
        results: The table.
        evaluations: Folder of the evaluated models, for their samples.
        spectra: Eigenvalues of the samples' covariance.
        folder: Where to.
    """
    with canvas(folder) as temporary:
        save(_fd_by_round(results), temporary / "fd_by_round.png")
        save(_fd_by_nfe(results), temporary / "fd_by_nfe.png")
        save(diversity.panel(results), temporary / "diversity.png")
        save(diversity.spectrum(results, spectra), temporary / "spectrum.png")
        save(_samples(results, evaluations), temporary / "samples.png")


def write_overview(results: Results, bases: Mapping[str, str], folder: Path) -> None:
    """Draw all chains of the ablations in one figure, into a folder, whole or not at all.

    Args:
        results: The table.
        bases: A chain that started from each kind of base model, by a label for that base.
        folder: Where to.
    """
    with canvas(folder) as temporary:
        save(overview(results, bases), temporary / "overview.png")


def _fd_by_round(results: Results) -> Any:
    nfe = results.nfes[-1]
    figure, axes = one_axes(7.6)
    base = results.over_seeds(results.methods[0], 0, "frechet_distance", nfe).mean
    axes.axhline(base, color="0.4", linestyle="--", linewidth=1, label="base model (k = 0)")
    axes.axhline(results.floor("frechet_distance"), color="0.4", linestyle=":", linewidth=1, label="real vs real")
    for index, method in enumerate(results.methods):
        values = [results.over_seeds(method, k, "frechet_distance", nfe) for k in results.rounds]
        curve(axes, index, method, list(map(float, results.rounds)), values)
    log_axis(axes, "y")
    round_axis(axes, results)
    features, n = results.conditions("frechet_distance")
    axes.set_ylabel(f"{distance_name(features)}, n = {n}")
    axes.set_title(f"Frechet distance by round, {results.solver} at NFE {nfe}; {seeds_of(results)}", fontsize=10)
    legend_beside(figure, axes)
    return figure


def _fd_by_nfe(results: Results) -> Any:
    k = results.last
    figure, axes = one_axes(7.6)
    curves = [("base (k = 0)", results.methods[0], 0)] + [(f"{m} (k = {k})", m, k) for m in results.methods]
    for index, (label, method, round_) in enumerate(curves):
        values = [results.over_seeds(method, round_, "frechet_distance", nfe) for nfe in results.nfes]
        curve(axes, index - 1, label, list(map(float, results.nfes)), values)
    for name in ("x", "y"):
        log_axis(axes, name)
    axes.set_xticks(results.nfes)
    axes.set_xlabel(f"NFE ({results.solver})")
    features, n = results.conditions("frechet_distance")
    axes.set_ylabel(f"{distance_name(features)}, n = {n}")
    axes.set_title(f"Few steps against many; {seeds_of(results)}", fontsize=10)
    legend_beside(figure, axes)
    return figure


def overview(results: Results, bases: Mapping[str, str]) -> Any:
    """One line per chain: FD of its last model in many steps and in the fewest, in the order of the grid.

    Args:
        results: The table.
        bases: As in `write_overview`; a vertical line for each.

    Returns:
        The figure.
    """
    from matplotlib import pyplot

    k, methods = results.last, results.methods
    figure, panels = pyplot.subplots(
        1, 2, figsize=(9.5, 0.2 * len(methods) + 1.2), layout="constrained", sharey=True, squeeze=False
    )
    for axes, nfe in zip(panels[0], (results.nfes[-1], results.nfes[0]), strict=True):
        for (label, chain), style in zip(bases.items(), cycle(("--", ":", "-."))):
            base = results.over_seeds(chain, 0, "frechet_distance", nfe).mean
            axes.axvline(base, color="0.4", linestyle=style, linewidth=1, label=label)
        for row, method in enumerate(methods):
            value = results.over_seeds(method, k, "frechet_distance", nfe)
            low = min(value.half_width or 0.0, value.mean * 0.999)  # a log axis ends above 0
            axes.errorbar(
                value.mean, row, xerr=[[low], [value.half_width or 0.0]], color=COLOURS[1], marker="o", markersize=4
            )
        axes.set_xlabel(f"FD after round {k}, {results.solver} at NFE {nfe}")
        log_axis(axes, "x")
        axes.tick_params("x", labelsize=8, rotation=45)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", fontsize=8, frameon=False, ncols=2)
    panels[0][0].set_yticks(range(len(methods)), methods, fontsize=7)
    panels[0][0].set_ylim(len(methods) - 0.5, -0.5)
    figure.suptitle(seeds_of(results), fontsize=10)
    return figure


def _samples(results: Results, evaluations: Path) -> Any:
    """Rows are methods, columns rounds; every tile starts from the same noise."""
    from matplotlib import pyplot

    name = f"{results.solver}_{results.nfes[-1]}"
    seed = results.seeds[0]
    rows, columns = len(results.methods), len(results.rounds)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(1.7 * columns + 0.5, 1.75 * rows + 0.4), layout="constrained", squeeze=False
    )
    for row, method in enumerate(results.methods):
        for column, k in enumerate(results.rounds):
            path = cell_folder(evaluations, method if k else BASE, seed, k) / SAMPLES_FILE
            tensors, facts = read_tensors(path)
            axes = grid[row][column]
            axes.imshow(_tile(tensors[name].numpy(), facts["shape"]), cmap="gray_r", vmin=-1, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
            if row == 0:
                axes.set_title(f"k = {k}", fontsize=9)
            if column == 0:
                axes.set_ylabel(method, fontsize=9)
    figure.suptitle(
        f"Samples from the same noise, {results.solver} at NFE {results.nfes[-1]}, seed {seed}", fontsize=10
    )
    return figure


def _tile(images: np.ndarray[Any, Any], shape: list[int]) -> np.ndarray[Any, Any]:
    """Lay flat images (n, c*h*w) out as a square of tiles with one blank pixel between them."""
    channels, height, width = shape
    side = int(np.sqrt(len(images)))
    canvas = np.full((side * (height + 1) - 1, side * (width + 1) - 1, channels), -1.0)
    for index, image in enumerate(images[: side * side].reshape(-1, channels, height, width)):
        top, left = divmod(index, side)
        top, left = top * (height + 1), left * (width + 1)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return canvas[..., 0] if channels == 1 else (canvas + 1) / 2
