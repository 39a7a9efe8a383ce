"""Shared by the figures: colours, axes, curves with intervals, deterministic files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from reflowbench.results.access import Results
from reflowbench.results.statistics import Interval
from reflowbench.runtime.artifacts import atomic

# Okabe and Ito's palette, its yellow replaced by a dark red: distinct with any colour vision, and by marker.
COLOURS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<"]
_DPI = 120


@contextmanager
def canvas(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` as a whole; the user's own matplotlibrc does not change its bytes."""
    import matplotlib

    with atomic(folder) as temporary, matplotlib.rc_context(matplotlib.rcParamsDefault):
        matplotlib.use("Agg")
        temporary.mkdir()
        yield temporary


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG and close it."""
    from matplotlib import pyplot

    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    pyplot.close(figure)


def one_axes(width: float = 6.4, height: float = 4.2) -> tuple[Any, Any]:
    """A figure with one panel."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def legend_beside(figure: Any, axes: Any) -> None:
    """Put the legend to the right of a panel, where it covers no curve."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False)


def curve(axes: Any, index: int, label: str, x: list[float], values: list[Interval]) -> None:
    """Draw means with their intervals; the index chooses colour and marker, and -1 grey, for the base model."""
    colour = COLOURS[index % len(COLOURS)] if index >= 0 else "0.4"
    axes.errorbar(
        x,
        [value.mean for value in values],
        yerr=[value.half_width or 0.0 for value in values],
        label=label,
        color=colour,
        marker=MARKERS[(index + index // len(COLOURS)) % len(MARKERS)],
        capsize=3,
    )


def seeds_of(results: Results) -> str:
    """What the error bars show, for a title."""
    n = len(results.seeds)
    return f"95 % intervals, {n} seeds" if n > 1 else "one seed"


def round_axis(axes: Any, results: Results) -> None:
    """Label the axis of rounds."""
    axes.set_xticks(results.rounds)
    axes.set_xlabel("round k")


def log_axis(axes: Any, name: str) -> None:
    """Make an axis logarithmic, with 20, 50, 100 where it would write powers, or nothing between them.

    Args:
        axes: The panel, with all that it shows.
        name: `x` or `y`. Where no value is there to show, the axis stays as it is.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if not any(np.isfinite(np.asarray(line.get_data()[name == "y"], dtype=float)).any() for line in axes.lines):
        return
    axes.set(**{f"{name}scale": "log"})
    axis = axes.yaxis if name == "y" else axes.xaxis
    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
