"""Which cells of the grid are new, gone, or have other numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reflowbench.core.schemes import ADAPTIVE

NEW, GONE, CHANGED, SAME = "new", "gone", "changed", "same"
_CELL = ["method", "seed", "round"]
_ROW = [*_CELL, "solver", "steps", "features", "n_samples", "metric"]
_MEASUREMENT = ["solver", "steps", "features", "n_samples", "metric"]


@dataclass(frozen=True)
class CellChanges:
    """How the grids of two tables differ.

    Attributes:
        states: NEW, GONE, CHANGED or SAME by (method, seed, round).
        added: Measurements that only the second table has of the cells in both, as text.
        removed: Those that only the first one has.
    """

    states: dict[tuple[str, int, int], str]
    added: list[str]
    removed: list[str]

    def count(self, state: str) -> int:
        """Number of cells in a state."""
        return sum(found == state for found in self.states.values())


def changed_cells(before: pd.DataFrame, after: pd.DataFrame) -> CellChanges:
    """Compare two tables cell by cell.

    A cell has other numbers if a value differs that both tables have; measurements that only one has
    are named for all cells together.

    Args:
        before: A tidy table.
        after: Another one.

    Returns:
        The differences.
    """
    old, new = _keyed(before), _keyed(after)
    both = old.merge(new, how="outer", on=_ROW, suffixes=("_before", "_after"), indicator=True)
    # Dictionaries, not sets: they keep the order of the grid.
    here = dict.fromkeys(old[_CELL].itertuples(index=False, name=None))
    there = dict.fromkeys(new[_CELL].itertuples(index=False, name=None))
    shared = both[both["_merge"] == "both"]
    equal = pd.Series(True, index=shared.index)
    for column in ("value", "nfe"):
        first, second = shared[f"{column}_before"], shared[f"{column}_after"]
        equal &= (first == second) | (first.isna() & second.isna())
    changed = set(shared.loc[~equal, _CELL].itertuples(index=False, name=None))
    states = {}
    for cell in here | there:
        in_both = cell in here and cell in there
        states[cell] = (CHANGED if cell in changed else SAME) if in_both else GONE if cell in here else NEW
    common = both[[cell in here and cell in there for cell in both[_CELL].itertuples(index=False, name=None)]]
    added, removed = (_names(common[common["_merge"] == side]) for side in ("right_only", "left_only"))
    return CellChanges(states, added, removed)


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    """The NFE of the adaptive solver is a result, that of the others a condition."""
    adaptive = table["solver"] == ADAPTIVE
    return table.assign(steps=table["nfe"].mask(adaptive, 0), nfe=table["nfe"].where(adaptive, 0))


def _names(rows: pd.DataFrame) -> list[str]:
    """Measurements as text, such as `recall (classifier, euler NFE 50, n = 1024)`."""
    names = []
    for solver, steps, features, n, metric in rows[_MEASUREMENT].drop_duplicates().itertuples(index=False):
        solved = f"{solver} NFE {steps}" if steps else solver
        conditions = [text for text in (features, solved, f"n = {n}" if n else "") if text]
        names.append(f"{metric} ({', '.join(conditions)})" if conditions else str(metric))
    return sorted(names)
