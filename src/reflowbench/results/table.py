"""The tidy table of results, gathered from exactly the cells that the grid names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reflowbench.core.artifacts import read_json
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.evaluations import BASE, METRICS_FILE, cell_folder
from reflowbench.core.params import GridParams

COLUMNS = ["profile", "method", "seed", "round", "solver", "nfe", "features", "n_samples", "metric"]
COLUMNS += ["value", "error", "missing"]
"""A value that could not be computed is empty, with the reason in the last column."""


@dataclass(frozen=True)
class Cell:
    """One model of the grid; k = 0 is the base model of its seed."""

    method: str
    seed: int
    k: int


def cells(grid: GridParams) -> list[Cell]:
    """The models of the grid, in its order."""
    return [Cell(m, seed, k) for m in grid.methods for seed in grid.seeds for k in (0, *grid.ks)]


def folder_of(cell: Cell, evaluations: Path, bases: Mapping[str, str]) -> Path:
    """Folder of a model's evaluation; all methods that start from one base model share the base's."""
    return cell_folder(evaluations, cell.method if cell.k else bases.get(cell.method, BASE), cell.seed, cell.k)


def read_cell(cell: Cell, evaluations: Path, bases: Mapping[str, str]) -> Any:
    """What the evaluation of a model wrote, whole."""
    return read_json(folder_of(cell, evaluations, bases) / METRICS_FILE)


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
        ReflowbenchError: If a cell is missing or damaged, or methods were trained for unequal updates.
    """
    rows: list[dict[str, Any]] = []
    expected = set()
    for cell in cells(grid):
        folder = folder_of(cell, evaluations, bases)
        expected.add(folder)
        conditions = {"profile": profile, "method": cell.method, "seed": cell.seed, "round": cell.k}
        rows += [conditions | row for row in _rows(folder)]
    found = {path.parent for path in evaluations.glob(f"*/s*/k*/{METRICS_FILE}")}
    table = pd.DataFrame(rows, columns=COLUMNS)
    _refuse_unequal_updates(table)
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


def _rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / METRICS_FILE
    cell = read_json(path)
    plain = {"solver": "", "nfe": 0, "features": "", "n_samples": 0, "error": None, "missing": ""}
    try:
        facts = [plain | {"metric": name, "value": value} for name, value in sorted(cell["training"].items())]
        accuracy = plain | {"metric": "classifier_accuracy", "value": cell["classifier_accuracy"]}
        return [*cell["measurements"], *facts, accuracy]
    except (KeyError, TypeError, AttributeError) as error:
        raise ReflowbenchError(f"{path}: not an evaluation ({error}); delete it and run `dvc repro`") from None


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV text; nine digits, which float32 results do not exceed."""
    return str(table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table written from `to_csv`.

    Raises:
        ReflowbenchError: If the file is missing or lacks a column.
    """
    try:
        text = {"solver": str, "features": str, "missing": str}
        table = pd.read_csv(path, keep_default_na=False, na_values={"value": "", "error": ""}, dtype=text)
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file; `dvc repro` makes it") from None
    if list(table.columns) != COLUMNS:
        raise ReflowbenchError(f"{path}: columns {list(table.columns)}; want {COLUMNS}; run `dvc repro`")
    return table
