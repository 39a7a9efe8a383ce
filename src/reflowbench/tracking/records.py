"""What the mirror logs, as plain values: tags and parameters of a stage, metrics of the results."""

from __future__ import annotations

import csv
import json
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from reflowbench.core.schemes import ADAPTIVE
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import read_json
from reflowbench.tracking.lock import Entry
from reflowbench.tracking.state import UNKNOWN

TREND = "frechet_distance"


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    key: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Row:
    """One row of results.csv; the fields are its columns. None: it could not be computed."""

    profile: str
    method: str
    seed: int
    round: int
    solver: str
    nfe: int
    features: str
    n_samples: int
    metric: str
    value: float | None
    error: float | None
    missing: str


def command(entry: Entry) -> str:
    """Give a stage's command line (DVC also allows a list of them)."""
    cmd = entry["cmd"]
    return cmd if isinstance(cmd, str) else "\n".join(map(str, cmd))


def cell(entry: Entry) -> dict[str, str]:
    """Find out which method, seed and round a stage belongs to.

    Args:
        entry: Its lock entry.

    Returns:
        `method`, `seed` and `round`, each as far as the command line tells: by its options, or by an
        output of the form `.../METHOD/sSEED/roundROUND`.
    """
    cmd = command(entry)
    found = dict(re.findall(r"--(method|seed|round)[ =](\S+)", cmd))
    place = re.search(r"--out[ =]\S*?/(?P<method>[^/\s]+)/s(?P<seed>\d+)/round(?P<round>\d+)(?:/|\s|$)", cmd)
    return {**(place.groupdict() if place else {}), **found}


def profile(entries: Mapping[str, Entry]) -> str:
    """Give the profile that the pipeline's state was made with, as its stages recorded it."""
    for entry in entries.values():
        for values in _params(entry):
            if "profile" in values:
                return str(values["profile"])
    return UNKNOWN


def _params(entry: Entry) -> list[dict[str, Any]]:
    """Give the watched values of each parameter file."""
    return [values for values in (entry.get("params") or {}).values() if values]


def stage_tags(name: str, entry: Entry, profile_: str) -> dict[str, str]:
    """Give the tags of a stage's run, apart from its hash and parent."""
    return {"dvc.stage": name, "dvc.group": name.partition("@")[0], "profile": profile_, **cell(entry)}


def stage_params(entry: Entry) -> dict[str, str]:
    """Give the parameters of a stage's run: those that DVC watched, by dotted path, and the command."""
    leaves: dict[str, str] = {"cmd": command(entry)}
    for values in _params(entry):
        for key, value in _leaves(values):
            leaves[key] = value if isinstance(value, str) else json.dumps(value, default=str)
    return leaves


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_results(path: Path) -> list[Row]:
    """Read results.csv.

    Args:
        path: The file.

    Returns:
        Its rows, in order.

    Raises:
        ReflowbenchError: If the file is missing or has other columns or values than it should.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_row(record) for record in csv.DictReader(file)]
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file; `dvc repro` makes it") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ReflowbenchError(f"{path}: not a table of results ({error!r}); delete it and run `dvc repro`") from None


def read_evaluation(path: Path, profile_: str, method: str, seed: int, round_: int) -> list[Row]:
    """Read what an `evaluate` stage wrote, as the rows that results.csv has of it.

    Args:
        path: Its metrics.json.
        profile_: Profile of the state.
        method: Method of the rows; the base model's evaluation is round 0 of every method.
        seed: Seed.
        round_: Round.

    Returns:
        The rows, in the order of results.csv, rounded as there.

    Raises:
        ReflowbenchError: If the file is damaged or is not an evaluation.
    """
    content = read_json(path)
    conditions = {"profile": profile_, "method": method, "seed": seed, "round": round_}
    plain = {"solver": "", "nfe": 0, "features": "", "n_samples": 0, "error": None, "missing": ""}
    try:
        facts = [*sorted(content["training"].items()), ("classifier_accuracy", content["classifier_accuracy"])]
        records = [*content["measurements"], *({"metric": name, "value": value} for name, value in facts)]
        return [_row(conditions | plain | record) for record in records]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReflowbenchError(f"{path}: not an evaluation ({error!r}); delete it and run `dvc repro`") from None


def _row(record: Mapping[str, Any]) -> Row:
    return Row(
        profile=record["profile"],
        method=record["method"],
        seed=int(record["seed"]),
        round=int(record["round"]),
        solver=record["solver"],
        nfe=int(record["nfe"]),
        features=record["features"],
        n_samples=int(record["n_samples"]),
        metric=record["metric"],
        value=_rounded(record["value"]),
        error=_rounded(record["error"]),
        missing=record["missing"],
    )


def _rounded(value: Any) -> float | None:
    """A number as results.csv spells it."""
    return None if value in (None, "") else float(f"{float(value):.9g}")


def results_table(rows: Sequence[Row]) -> dict[str, Any]:
    """Give results.csv as MLflow keeps tables (pandas' `split`)."""
    columns = [field.name for field in fields(Row)]
    return {"columns": columns, "data": [[getattr(row, name) for name in columns] for row in rows]}


def csv_table(path: Path) -> dict[str, Any]:
    """Give any CSV file as MLflow keeps tables: numbers as numbers, nothing as null."""
    with path.open(encoding="utf-8", newline="") as file:
        columns, *lines = csv.reader(file)
    return {"columns": columns, "data": [[_plain(cell) for cell in line] for line in lines]}


def _plain(cell: str) -> Any:
    try:
        value = float(cell)
    except ValueError:
        return cell or None
    if not math.isfinite(value):
        return None
    return int(cell) if re.fullmatch(r"-?\d+", cell) else value


def evaluation_points(rows: Sequence[Row]) -> list[Point]:
    """Give the metrics of one evaluated model.

    Args:
        rows: Its rows.

    Returns:
        One point for each number: `metric`, `metric.solver.nfe`, or `metric.dopri5` and `nfe.dopri5`
        (the adaptive solver chooses its NFE). The step is the round.
    """
    several = _several_features(rows)
    points = []
    for row in rows:
        fixed_nfe = str(row.nfe) if row.solver and row.solver != ADAPTIVE else ""
        parts = (row.metric, row.solver, fixed_nfe, row.features if several else "")
        points.append((".".join(filter(None, parts)), row.value, row.round))
        if row.solver == ADAPTIVE and row.nfe:
            points.append((f"nfe.{ADAPTIVE}", row.nfe, row.round))
    return _loggable(points)


def curve_points(path: Path) -> list[Point]:
    """Give the metrics of a training from its curves.csv; the step is the number of updates made."""
    table = csv_table(path)
    return _loggable(
        (key, value, line[0])
        for line in table["data"]
        for key, value in zip(table["columns"][1:], line[1:], strict=True)
    )


def trend_points(rows: Sequence[Row]) -> list[Point]:
    """Give each method's Frechet distance by round: mean over seeds at the fixed solver's highest NFE."""
    fixed = [row for row in rows if row.metric == TREND and row.solver not in ("", ADAPTIVE)]
    highest = max((row.nfe for row in fixed), default=0)
    several = _several_features(fixed)
    seeds: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in fixed:
        if row.nfe == highest:
            key = f"{TREND}/{row.method}" + (f".{row.features}" if several else "")
            seeds[key, row.round].append(math.nan if row.value is None else row.value)
    return _loggable((key, statistics.fmean(values), round_) for (key, round_), values in seeds.items())


def summary_points(summary: Mapping[str, Any]) -> list[Point]:
    """Give the numeric leaves of summary.json, by dotted path."""
    numbers = [(k, v) for k, v in _leaves(summary) if isinstance(v, int | float) and not isinstance(v, bool)]
    return _loggable((key, value, 0) for key, value in numbers)


def _several_features(rows: Sequence[Row]) -> bool:
    """Say whether a metric's name alone is ambiguous, because of more than one feature space."""
    return len({row.features for row in rows} - {""}) > 1


def _loggable(points: Iterable[tuple[str, float | None, int]]) -> list[Point]:
    """Make points that MLflow takes: no odd characters in keys, finite values, each key and step once."""
    safe = [
        Point(re.sub(r"[^\w.\- :/]", "_", key), float(value), step)
        for key, value, step in points
        if value is not None and math.isfinite(value)
    ]
    return list({(point.key, point.step): point for point in safe}.values())
