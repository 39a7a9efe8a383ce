"""The tidy table of results, gathered from exactly the cells that the grid names."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from reflowbench.core.schemes import ADAPTIVE
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import DAMAGED, read_json
from reflowbench.runtime.config import parse, shortened
from reflowbench.runtime.evaluations import BASE, METRICS_FILE, cell_folder
from reflowbench.runtime.params import GridParams, Group

_CELL = ["method", "seed", "round"]
_KIND = ["solver", "nfe", "features", "n_samples", "metric"]
COLUMNS = ["profile", *_CELL, *_KIND, "value", "error", "missing"]
"""A value that could not be computed is empty, with the reason in the last column."""
_WHOLE, _NUMBER = r"-?[0-9]{1,18}", r"(?:-?[0-9]+(?:\.[0-9]+)?(?:e[-+][0-9]{1,3})?)?"
_NUMBERS = dict.fromkeys(("seed", "round", "nfe", "n_samples"), _WHOLE) | dict.fromkeys(("value", "error"), _NUMBER)
"""How `to_csv` writes them."""


@dataclass(frozen=True)
class Cell:
    """One model of the grid; k = 0 is the base model of its seed."""

    method: str
    seed: int
    k: int


def cells(grid: GridParams) -> list[Cell]:
    """The models of the grid, in its order."""
    return [Cell(m, seed, k) for m in grid.methods for seed in grid.seeds for k in (0, *grid.rounds)]


def folder_of(cell: Cell, evaluations: Path, bases: Mapping[str, str]) -> Path:
    """Folder of a model's evaluation; all methods that start from one base model share the base's."""
    return cell_folder(evaluations, cell.method if cell.k else bases.get(cell.method, BASE), cell.seed, cell.k)


class _Measurement(Group):
    """A row of an evaluation, as `metrics.measurement` defines it."""

    metric: Annotated[str, Field(min_length=1)]
    value: float | None
    solver: str
    nfe: Annotated[int, Field(ge=0, lt=10**18)]
    features: str
    n_samples: Annotated[int, Field(ge=1, lt=10**18)]
    error: float | None
    missing: str

    @model_validator(mode="after")
    def _a_value_or_a_reason(self) -> _Measurement:
        if (self.value is None) != bool(self.missing) or (self.value is None and self.error is not None):
            raise ValueError("want either a value or a reason why it is missing")
        return self


class _Evaluation(Group):
    """What the stage `evaluate` writes."""

    measurements: list[_Measurement]
    left_out: dict[str, dict[str, list[float]]]
    spectrum: list[float]
    real_spectrum: list[float]
    training: dict[str, float]
    classifier_accuracy: float

    @model_validator(mode="after")
    def _measured_once(self) -> _Evaluation:
        kinds = [(m.metric, m.solver, _nfe(m.solver, m.nfe), m.features) for m in self.measurements]
        if twice := [kind for kind, times in Counter(kinds).items() if times > 1]:
            raise ValueError(f"measured twice: {', '.join(map(str, twice[0]))}")
        return self


def _nfe(solver: str, nfe: int) -> int:
    """NFE as a condition of a measurement; the adaptive solver chooses its own for each model."""
    return 0 if solver == ADAPTIVE else nfe


def _read(folder: Path) -> _Evaluation:
    path = folder / METRICS_FILE
    values = read_json(path)
    try:
        return parse(_Evaluation, values, "", str(path))
    except ReflowbenchError as error:
        fault = str(error).splitlines()[0].removeprefix(f"{path}: ")
        raise ReflowbenchError(f"{path}: not an evaluation ({fault}); {DAMAGED}") from None


def read_cell(cell: Cell, evaluations: Path, bases: Mapping[str, str]) -> Any:
    """What the evaluation of a model wrote, whole."""
    return _read(folder_of(cell, evaluations, bases)).model_dump()


def gather(
    evaluations: Path, grid: GridParams, profile: str, bases: Mapping[str, str]
) -> tuple[pd.DataFrame, list[str]]:
    """Read every cell of the grid into one table.

    Round 0 of every method is its base model, evaluated once. Folders of other cells, left over from a
    larger grid, are ignored and named.

    Args:
        evaluations: Folder with one folder per evaluated model.
        grid: The cells that must be there.
        profile: Name that goes into the table.
        bases: Folder of the base models that each method started from, by method; `base` where absent.

    Returns:
        The table with COLUMNS, in the order of the grid, and the left-over cell folders.

    Raises:
        ReflowbenchError: If a cell is missing or damaged, or methods were trained for unequal updates or measured
            differently.
    """
    rows: list[dict[str, Any]] = []
    expected = set()
    for cell in cells(grid):
        folder = folder_of(cell, evaluations, bases)
        expected.add(folder)
        conditions = {"profile": profile, "method": cell.method, "seed": cell.seed, "round": cell.k}
        rows += [conditions | row for row in _rows(folder)]
    found = {path.parent for path in evaluations.glob(f"*/s*/round*/{METRICS_FILE}")}
    table = pd.DataFrame(rows, columns=COLUMNS)
    _refuse_unequal_updates(table)
    _refuse_unequal_measurements(table)
    return table, sorted(str(path) for path in found - expected)


def _refuse_unequal_updates(table: pd.DataFrame) -> None:
    """A difference between methods must come from their couplings, not from their training's length."""
    trained = table[table["round"] > 0]
    cells = len(trained[["method", "seed", "round"]].drop_duplicates())
    for fact, what in (("updates", "updates"), ("train_evaluations", "training passes")):
        counts = trained[trained["metric"] == fact]
        if len(counts) != cells:
            raise ReflowbenchError(f"an evaluation does not give its model's number of {what}; run `dvc repro`")
        for round_, methods in counts.groupby("round"):
            if methods["value"].nunique() > 1:
                by_method = methods.groupby("method")["value"].unique().map(lambda values: [int(v) for v in values])
                raise ReflowbenchError(
                    f"round {round_} was trained for unequal {what} ({by_method.to_dict()}): no comparison; run "
                    "`dvc repro`, which trains every method for round.steps of round.batch pairs"
                )


def _refuse_unequal_measurements(table: pd.DataFrame) -> None:
    """A mean over fewer seeds than there are would not show."""
    measured = table[table["n_samples"] > 0]  # what training cost may be said of one model only
    nfe = [_nfe(*row) for row in zip(measured["solver"], measured["nfe"], strict=True)]
    for base in (True, False):
        expected = list(dict.fromkeys(_cells_of(table[(table["round"] == 0) == base])))
        for kind, rows in measured.assign(nfe=nfe)[(measured["round"] == 0) == base].groupby(_KIND):
            found = set(_cells_of(rows))
            if lacking := [cell for cell in expected if cell not in found]:
                cell, what = (
                    ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
                    for names, values in ((_CELL, lacking[0]), (_KIND, kind))
                )
                raise ReflowbenchError(f"the evaluation of {cell} lacks what others have ({what}); run `dvc repro`")


def _cells_of(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(table[_CELL].itertuples(index=False, name=None))


def _rows(folder: Path) -> list[dict[str, Any]]:
    cell = _read(folder)
    plain = {"solver": "", "nfe": 0, "features": "", "n_samples": 0, "error": None, "missing": ""}
    facts = [plain | {"metric": name, "value": value} for name, value in sorted(cell.training.items())]
    accuracy = plain | {"metric": "classifier_accuracy", "value": cell.classifier_accuracy}
    return [*(m.model_dump() for m in cell.measurements), *facts, accuracy]


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV text; nine digits, which float32 results do not exceed."""
    return str(table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table written from `to_csv`. pandas' own reader would guess types, fill short lines and take any number.

    Returns:
        One row per number, with the columns COLUMNS.

    Raises:
        ReflowbenchError: If the file is missing, lacks a column or is damaged.
    """
    remedy = f"restore it (`git checkout {path}`) or run `dvc repro`"
    try:
        text = path.read_bytes().decode("utf-8")
        header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file; `dvc repro` makes it") from None
    except (OSError, ValueError, csv.Error) as error:
        raise ReflowbenchError(f"{path}: damaged ({error}); {remedy}") from None
    if header != COLUMNS:
        raise ReflowbenchError(f"{path}: columns {shortened(str(header))}; want {COLUMNS}; run `dvc repro`")
    if (lines and not text.endswith("\n")) or any(len(line) != len(COLUMNS) for line in lines):
        raise ReflowbenchError(f"{path}: damaged (a line is cut short or too long); {remedy}")
    table = pd.DataFrame(lines, columns=COLUMNS, dtype=str)
    for name, pattern in _NUMBERS.items():
        wrong = table.index[~table[name].str.fullmatch(pattern)]
        if len(wrong):
            value = shortened(repr(table[name][wrong[0]]))
            raise ReflowbenchError(f"{path}: {name} = {value} in row {wrong[0] + 1}: want a number; {remedy}")
        table[name] = table[name].astype(int) if pattern == _WHOLE else table[name].replace("", "nan").astype(float)
    if np.isinf(table["value"]).any() or ((table["value"].isna()) != (table["missing"] != "")).any():
        raise ReflowbenchError(f"{path}: damaged (a row has neither a value nor a reason, or both); {remedy}")
    if table.duplicated(["profile", *_CELL, *_KIND]).any():
        raise ReflowbenchError(f"{path}: damaged (a row is there twice); {remedy}")
    return table
