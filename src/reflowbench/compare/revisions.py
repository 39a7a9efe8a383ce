"""Parameters and results as a revision has them: out of Git, without DVC's cache and without a checkout."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from reflowbench import git
from reflowbench.errors import ReflowbenchError
from reflowbench.results.table import COLUMNS, read_table
from reflowbench.runtime.config import PARAMS_FILE, read_yaml

T = TypeVar("T")
WORKING_TREE = "working tree"
REPORTS = Path("reports")
_TABLE = "results.csv"


@dataclass(frozen=True)
class Snapshot:
    """What is compared of one revision.

    Attributes:
        name: The revision as the user named it, with its commit; `working tree` for the files as they are.
        params: The parameter tree.
        table: The tidy table.
    """

    name: str
    params: dict[str, Any]
    table: pd.DataFrame

    @property
    def profile(self) -> str:
        """The profile that the table was made with."""
        return str(self.table["profile"].iloc[0])


def snapshot(revision: str | None, reports: Path = REPORTS, params: Path = PARAMS_FILE) -> Snapshot:
    """Read one revision.

    Args:
        revision: A branch, tag or commit; None for the working tree.
        reports: Folder of results.csv, from the working folder.
        params: The parameter file, from the working folder.

    Returns:
        Its parameters and results.

    Raises:
        ReflowbenchError: If there is no such revision, it lacks one of the files, or they cannot be read or compared.
    """
    commit = git.commit_of(revision) if revision is not None else None
    name = f"{revision} ({commit[:7]})" if commit else WORKING_TREE
    table = _contents(commit, reports / _TABLE)
    if table is None:
        raise ReflowbenchError(
            f"{name}: no results, {reports / _TABLE} is not there; {_make(revision)}, or name another revision"
        )
    columns = table.split("\n", 1)[0].strip().split(",")
    if columns != COLUMNS:
        differing = [f"no `{c}`" for c in COLUMNS if c not in columns]
        differing += [f"`{c}` is unknown" for c in columns if c not in COLUMNS]
        raise ReflowbenchError(
            f"{name}: {reports / _TABLE} was written by another version of reflowbench "
            f"({', '.join(differing) or 'other order of columns'}), so it cannot be compared; "
            f"{_make(revision)} with the code of this version"
        )
    values = _contents(commit, params)
    if values is None:
        raise ReflowbenchError(
            f"{name}: no {params}; write one by `reflowbench profile NAME --out {params}`"
            + (", and commit it" if revision is not None else "")
        )
    found = _read(read_table, table, reports / _TABLE, name)
    if found.empty:
        raise ReflowbenchError(f"{name}: {reports / _TABLE} has no rows; {_make(revision)}")
    return Snapshot(name, _read(read_yaml, values, params, name), found)


def _make(revision: str | None) -> str:
    """How a revision comes by results."""
    return "run `dvc repro`" if revision is None else f"check out {revision}, run `dvc repro` and commit reports/"


def _contents(commit: str | None, path: Path) -> str | None:
    """Text of a file; None if there is none."""
    if commit is not None:
        found = git.ask("show", f"{commit}:./{path.as_posix()}")
        return None if found is None else found.decode(errors="replace")
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _read(reader: Callable[[Path], T], text: str, path: Path, name: str) -> T:
    """Read a file of a revision with the reader that everyone else uses, which wants a path."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_text(text, encoding="utf-8")
        try:
            return reader(copy)
        except ReflowbenchError as error:
            raise ReflowbenchError(f"{name}: {str(error).replace(str(copy), str(path))}") from None
        except ValueError as error:  # how pandas says that a CSV file is damaged
            raise ReflowbenchError(f"{name}: {path}: damaged ({' '.join(str(error).split())})") from None
