"""The charts, as Vega-Lite specifications."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reflowbench.report.diversity import SHOWN
from reflowbench.report.page.numbers import BASE, Numbers, colour_of
from reflowbench.report.tables import FD, plain
from reflowbench.results.statistics import Interval

Spec = dict[str, Any]
Row = dict[str, Any]

SHAPES = [
    "M-1,0A1,1,0,1,1,1,0A1,1,0,1,1,-1,0Z",
    "M-.9,-.9H.9V.9H-.9Z",
    "M0,-1.1L1.05,.8H-1.05Z",
    "M0,-1.25L1.05,0L0,1.25L-1.05,0Z",
    "M0,1.1L1.05,-.8H-1.05Z",
    "M-.4,-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
    "M-.8,-1.1L0,-.4L.8,-1.1L1.1,-.8L.4,0L1.1,.8L.8,1.1L0,.4L-.8,1.1L-1.1,.8L-.4,0L-1.1,-.8Z",
    "M-1.1,0L.8,-1.05V1.05Z",
]
"""Markers of the methods as paths, for charts and legend alike; in the order of the Markdown report's."""

_DIGITS = "datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9))"
_ROUND_TICK = f"indexof([1, 2, 5], round(1e6 * {_DIGITS}) / 1e6) >= 0"
_LOG_TICKS = {
    "tickCount": 10,  # of more, Vega takes steps of equal length where the axis spans less than two decades
    "gridOpacity": {"condition": {"test": _ROUND_TICK, "value": 0.6}, "value": 0},
    "labelExpr": f"{_ROUND_TICK} ? format(datum.value, '~g') : ''",
}
"""A logarithmic axis with 20, 50, 100 and nothing between them, as in the figures of the Markdown report."""
_MUTED = "@muted"
"""The page puts the colour of secondary text of its light or dark theme here."""
_DODGE = 0.05
"""Rounds by which neighbouring methods are drawn apart, so that their intervals do not hide each other."""
_VISIBLE = {"filter": "indexof(hidden, datum.method) < 0"}
_AT_NFE = {"filter": "datum.nfe == nfe"}
_CONDITIONS = [("k", "round k"), ("nfe", "NFE")]


def shape_of(index: int) -> str:
    """Marker of a method."""
    return SHAPES[index % len(SHAPES)]


def by_round(numbers: Numbers, metric: str, label: str, log: bool = False, nfes: Sequence[int] = ()) -> Spec:
    """A metric by round: means, intervals, and what the base model and real images score.

    Args:
        numbers: All numbers.
        metric: Name in the table.
        label: Title of the axis.
        log: Whether the axis is logarithmic.
        nfes: NFE at which it was measured, the highest if not given; the reader chooses among several.

    Returns:
        The specification.
    """
    results = numbers.results
    nfes = nfes or results.nfes[-1:]
    middle = (len(results.methods) - 1) / 2
    rows = [
        _row(method, numbers.at(method, k, metric, nfe), log, k=k, nfe=nfe, x=round(k + (i - middle) * _DODGE, 4))
        for nfe in nfes
        for i, method in enumerate(results.methods)
        for k in results.rounds
    ]
    references = []
    for nfe in nfes:
        base = numbers.at(results.methods[0], 0, metric, nfe).mean
        references.append({"nfe": nfe, "y": base, "label": f"base model {plain(base)}", "style": "base"})
        real = results.floor(metric)
        references.append({"nfe": nfe, "y": real, "label": f"real images {plain(real)}", "style": "real"})
    x = _axis("round k", (results.rounds[0] - 0.25, results.last + 0.25), values=results.rounds, format="d")
    chosen = [_AT_NFE] if len(nfes) > 1 else []
    curves = _curves(numbers, rows, [_VISIBLE, *chosen], x, _value(label, log), _CONDITIONS)
    return _chart(numbers, [*_references(references, chosen), curves])


def by_nfe(numbers: Numbers) -> Spec:
    """Frechet distance by NFE of the base and of every last model, over the best that any of them reaches."""
    nfes = numbers.results.nfes
    rows = [
        _row(name, numbers.at(method, k, FD, nfe), True, k=k, nfe=nfe, x=nfe)
        for name, method, k in numbers.last_models
        for nfe in nfes
    ]
    title = f"network evaluations per sample (NFE, {numbers.results.solver})"
    x = _axis(title, (nfes[0] / 1.2, nfes[-1] * 1.2), log=True, values=nfes, format="d")
    y = _value("Frechet distance", True)
    best = {
        "data": {"values": [{"x": nfe, "mean": value} for nfe, (value, _) in frontier(numbers).items()]},
        "mark": {"type": "line", "style": "frontier", "interpolate": "step-after"},
        "encoding": {"x": x, "y": y},
    }
    return _chart(numbers, [best, _curves(numbers, rows, [_VISIBLE], x, y, _CONDITIONS)])


def frontier(numbers: Numbers) -> dict[int, tuple[float, str]]:
    """The lowest mean FD within each NFE, and the model that reaches it: the base or a method's last model."""
    best: dict[int, tuple[float, str]] = {}
    lowest = (math.inf, "")
    for nfe in numbers.results.nfes:
        found = [(numbers.at(method, k, FD, nfe).mean, name) for name, method, k in numbers.last_models]
        lowest = min([lowest, *(pair for pair in found if not math.isnan(pair[0]))], key=lambda pair: pair[0])
        if lowest[1]:
            best[nfe] = lowest
    return best


def by_cost(numbers: Numbers) -> Spec:
    """Frechet distance against the network evaluations that a chain has used since its base."""
    results = numbers.results
    rows = [
        _row(method, numbers.at(method, k, FD, nfe), True, k=k, nfe=nfe, x=spent / 1000)
        for nfe in results.nfes
        for method in results.methods
        for k in results.rounds
        if not math.isnan(spent := numbers.evaluations(method, k))
    ]
    title = "thousand network evaluations"
    x = _axis(f"{title} since the base", (0, 1.04 * max([1.0, *(row["x"] for row in rows)])))
    curves = _curves(
        numbers, rows, [_VISIBLE, _AT_NFE], x, _value("Frechet distance", True), [*_CONDITIONS, ("x", title)]
    )
    curves["layer"].append({"mark": {"type": "text", "style": "round"}, "encoding": {"text": {"field": "k"}}})
    return _chart(numbers, [curves])


def spectrum(numbers: Numbers, spectra: pd.DataFrame) -> Spec:
    """Variance of the last models along the directions of their samples, over that of real images."""
    real = spectra["real"].to_numpy()
    kept = np.cumsum(real) - real < SHOWN * real.sum()
    rows = [
        {"method": name, "x": i + 1, "mean": value, "text": plain(value)}
        for name, method, k in numbers.last_models
        if f"{method}_k{k}" in spectra
        for i, value in enumerate(map(_short, (spectra[f"{method}_k{k}"].to_numpy()[kept] / real[kept]).tolist()))
        if value
    ]
    x = _axis(f"eigenvalue number ({SHOWN:.1%} of the real variance)", (1, int(kept.sum())), format="d")
    layers = _references([{"y": 1.0, "label": "real images 1", "style": "real"}], [])
    curves = _curves(numbers, rows, [_VISIBLE], x, _value("variance / real", True), [("x", "eigenvalue")])
    curves["layer"][-1]["mark"]["size"] = 20  # there are many
    return _chart(numbers, [*layers, curves])


def _row(method: str, value: Interval, log: bool, **conditions: float) -> Row:
    """A point with its interval; a missing one keeps its place, so that the line has a gap there."""
    row: Row = {"method": method, **conditions, "mean": None, "text": str(value)}
    if not math.isnan(value.mean) and (value.mean > 0 or not log):
        low, high = value.bounds
        # A log axis ends above 0: there the bar is cut at a tenth of the mean, and the text has the interval.
        row |= {"mean": _short(value.mean), "low": _short(max(low, value.mean / 10) if log else low)}
        row["high"] = _short(high)
    return row


def _short(value: float) -> float | None:
    """Six digits, more than a screen has; None for what is no number."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _axis(title: str, domain: tuple[float, float], log: bool = False, **axis: Any) -> Spec:
    """The horizontal axis."""
    scale = {"type": "log" if log else "linear", "domain": list(domain), "nice": False}
    return {"field": "x", "type": "quantitative", "title": title, "axis": axis | {"grid": False}, "scale": scale}


def _value(label: str, log: bool) -> Spec:
    """The vertical axis."""
    value: Spec = {"field": "mean", "type": "quantitative", "title": label, "scale": {"zero": True}}
    return value | {"scale": {"type": "log", "nice": False, "padding": 14}, "axis": _LOG_TICKS} if log else value


def _references(rows: Sequence[Row], filters: Sequence[Spec]) -> list[Spec]:
    """Horizontal lines, each in the style of its kind."""
    layers: list[Spec] = []
    kept = [row | {"mean": _short(row["y"])} for row in rows if not math.isnan(row["y"])]
    encoding = {"y": {"field": "mean", "type": "quantitative"}, "tooltip": {"field": "label"}}
    for style in dict.fromkeys(row["style"] for row in kept):
        own = [row for row in kept if row["style"] == style]
        mark = {"type": "rule", "style": style}
        layers.append({"data": {"values": own}, "transform": list(filters), "mark": mark, "encoding": encoding})
    return layers


def _curves(
    numbers: Numbers, rows: Sequence[Row], filters: Sequence[Spec], x: Spec, y: Spec, shown: Sequence[tuple[str, str]]
) -> Spec:
    """Lines with markers and intervals, one per method.

    Args:
        numbers: All numbers.
        rows: The points.
        filters: Which of them the reader's choices leave.
        x: Horizontal axis.
        y: Vertical axis.
        shown: Fields and titles that a point shows when it is pointed at, beside method and value.

    Returns:
        The layer.
    """
    methods = numbers.results.methods
    names, indices = [BASE, *methods], range(len(methods))
    colour = {"domain": names, "range": [_MUTED, *map(colour_of, indices)]}
    shape = {"domain": names, "range": [SHAPES[0], *map(shape_of, indices)]}
    tooltip = [("method", "method"), *shown, ("text", y["title"])]
    marks: list[Spec] = [
        {"mark": {"type": "line", "style": "curve"}},
        {
            "mark": {"type": "point", "style": "marker"},
            "encoding": {
                "shape": {"field": "method", "scale": shape, "legend": None},
                "tooltip": [{"field": field, "title": title} for field, title in tooltip],
            },
        },
    ]
    if any("low" in row for row in rows):
        ends = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
        marks.insert(0, {"mark": {"type": "rule", "style": "interval"}, "encoding": ends})
    encoding = {"x": x, "y": y, "color": {"field": "method", "scale": colour, "legend": None}}
    return {"data": {"values": list(rows)}, "transform": list(filters), "encoding": encoding, "layer": marks}


def _chart(numbers: Numbers, layers: Sequence[Spec]) -> Spec:
    """Layers with what the reader chooses: the NFE, and the methods that are hidden."""
    chosen = [{"name": "nfe", "value": numbers.results.nfes[-1]}, {"name": "hidden", "value": []}]
    return {"width": "container", "height": 300, "params": chosen, "layer": list(layers)}


def all_charts(numbers: Numbers, spectra: pd.DataFrame, panels: Mapping[str, str]) -> dict[str, Spec]:
    """Every chart of the page by name.

    Args:
        numbers: All numbers.
        spectra: Eigenvalues of the samples' covariance.
        panels: Titles of the metrics that each get a small chart by round.

    Returns:
        Specifications.
    """
    nfes = numbers.results.nfes
    return {
        "fd_by_round": by_round(numbers, FD, "Frechet distance", True, nfes),
        "fd_by_nfe": by_nfe(numbers),
        "fd_by_cost": by_cost(numbers),
        "spectrum": spectrum(numbers, spectra),
        "straightness": by_round(numbers, "straightness", "straightness", True),
    } | {metric: by_round(numbers, metric, label, nfes=nfes) for metric, label in panels.items()}
