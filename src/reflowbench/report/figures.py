"""Figures of the report, as PNG with deterministic bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reflowbench.core.artifacts import atomic, read_tensors
from reflowbench.core.evaluations import BASE, SAMPLES_FILE, cell_folder
from reflowbench.results.statistics import Interval
from reflowbench.results.summary import Results

# Okabe and Ito's palette: told apart with any colour vision, and by marker without colour.
_COLOURS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
_DPI = 120


def write_figures(results: Results, evaluations: Path, folder: Path, study: bool = False) -> None:
    """Draw every figure into a folder, whole or not at all.

    Args:
        results: The table.
        evaluations: Folder of the evaluated models, for their samples.
        folder: Where to.
        study: Draw all chains in one overview, in place of a curve and a row of samples for each.
    """
    import matplotlib

    # The user's own matplotlibrc must not change the bytes.
    with atomic(folder) as temporary, matplotlib.rc_context(matplotlib.rcParamsDefault):
        matplotlib.use("Agg")
        temporary.mkdir()
        if study:
            _save(_overview(results), temporary / "overview.png")
            return
        _save(_fd_by_round(results), temporary / "fd_by_round.png")
        _save(_fd_by_nfe(results), temporary / "fd_by_nfe.png")
        _save(
            _by_round(results, "variance_ratio", "sample variance / real variance"),
            temporary / "variance.png",
        )
        _save(_samples(results, evaluations), temporary / "samples.png")


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    pyplot.close(figure)


def _axes(width: float = 6.4, height: float = 4.2) -> tuple[Any, Any]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _curve(axes: Any, index: int, label: str, x: list[float], values: list[Interval]) -> None:
    colour = _COLOURS[index % len(_COLOURS)]
    axes.errorbar(
        x,
        [value.mean for value in values],
        yerr=[value.half_width or 0.0 for value in values],
        label=label,
        color=colour,
        marker=_MARKERS[(index + index // len(_COLOURS)) % len(_MARKERS)],
        capsize=3,
    )


def _fd_by_round(results: Results) -> Any:
    nfe = results.nfes[-1]
    figure, axes = _axes()
    base = results.over_seeds(results.methods[0], 0, "frechet_distance", nfe).mean
    axes.axhline(base, color="0.4", linestyle="--", linewidth=1, label="base model (k = 0)")
    axes.axhline(results.floor("frechet_distance"), color="0.4", linestyle=":", linewidth=1, label="real vs real")
    for index, method in enumerate(results.methods):
        values = [results.over_seeds(method, k, "frechet_distance", nfe) for k in results.rounds]
        _curve(axes, index, method, list(map(float, results.rounds)), values)
    axes.set_yscale("log")
    _plain_log_ticks(axes.yaxis)
    _round_axis(axes, results)
    features, n = results.conditions("frechet_distance")
    axes.set_ylabel(f"FD ({features} features, n = {n})")
    axes.set_title(f"Frechet distance by round, {results.solver} at NFE {nfe}; {_seeds(results)}", fontsize=10)
    axes.legend(fontsize=8)
    return figure


def _by_round(results: Results, metric: str, label: str) -> Any:
    nfe = results.nfes[-1]
    figure, axes = _axes()
    axes.axhline(1.0, color="0.4", linestyle=":", linewidth=1, label="real")
    for index, method in enumerate(results.methods):
        values = [results.over_seeds(method, k, metric, nfe) for k in results.rounds]
        _curve(axes, index, method, list(map(float, results.rounds)), values)
    _round_axis(axes, results)
    axes.set_ylabel(label)
    axes.set_title(f"{label.capitalize()}, {results.solver} at NFE {nfe}; {_seeds(results)}", fontsize=10)
    axes.legend(fontsize=8)
    return figure


def _seeds(results: Results) -> str:
    n = len(results.seeds)
    return f"95 % intervals, {n} seeds" if n > 1 else "one seed"


def _round_axis(axes: Any, results: Results) -> None:
    axes.set_xticks(results.rounds)
    axes.set_xlabel("round k")


def _plain_log_ticks(axis: Any) -> None:
    """Write 20, 50, 100 where a log axis would write powers, or nothing between them."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())


def _fd_by_nfe(results: Results) -> Any:
    k = results.rounds[-1]
    figure, axes = _axes()
    curves = [("base (k = 0)", results.methods[0], 0)] + [(f"{m} (k = {k})", m, k) for m in results.methods]
    for index, (label, method, round_) in enumerate(curves):
        values = [results.over_seeds(method, round_, "frechet_distance", nfe) for nfe in results.nfes]
        _curve(axes, index - 1, label, list(map(float, results.nfes)), values)
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        _plain_log_ticks(axis)
    axes.set_xticks(results.nfes)
    axes.set_xlabel(f"NFE ({results.solver})")
    features, n = results.conditions("frechet_distance")
    axes.set_ylabel(f"FD ({features} features, n = {n})")
    axes.set_title(f"Few steps against many; {_seeds(results)}", fontsize=10)
    axes.legend(fontsize=8)
    return figure


def _overview(results: Results) -> Any:
    """One line per chain: FD of its last model in many steps and in the fewest, in the order of the grid."""
    from matplotlib import pyplot

    k, methods = results.rounds[-1], results.methods
    figure, panels = pyplot.subplots(
        1, 2, figsize=(9.5, 0.2 * len(methods) + 1.2), layout="constrained", sharey=True, squeeze=False
    )
    for axes, nfe in zip(panels[0], (results.nfes[-1], results.nfes[0]), strict=True):
        base = results.over_seeds(methods[0], 0, "frechet_distance", nfe).mean
        axes.axvline(base, color="0.4", linestyle="--", linewidth=1, label="base model (k = 0)")
        for row, method in enumerate(methods):
            value = results.over_seeds(method, k, "frechet_distance", nfe)
            low = min(value.half_width or 0.0, value.mean * 0.999)  # a log axis ends above 0
            axes.errorbar(
                value.mean, row, xerr=[[low], [value.half_width or 0.0]], color=_COLOURS[1], marker="o", markersize=4
            )
        axes.set(xscale="log", xlabel=f"FD after round {k}, {results.solver} at NFE {nfe}")
        _plain_log_ticks(axes.xaxis)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper right")
    panels[0][0].set_yticks(range(len(methods)), methods, fontsize=7)
    panels[0][0].invert_yaxis()
    figure.suptitle(_seeds(results), fontsize=10)
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
