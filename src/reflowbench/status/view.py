"""The status on a terminal: the grid in colours, the stage groups, and why what is not done is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reflowbench.status.durations import Durations
from reflowbench.status.overview import BASE, Cell, cells, groups
from reflowbench.status.stages import STATES, Stage, State

COLOURS: dict[State, str] = {"done": "green", "running": "bold cyan", "stale": "yellow", "missing": "red"}
_WIDTH = 160
"""Columns where the output is no terminal: rich would take 80, and cut reasons off."""
_NAMED = 2
"""So many stages are named for each reason; of others, how many."""
_AFTER = "comes after a stage that runs or has to"


def show(stages: Sequence[Stage], durations: Durations, file: TextIO) -> None:
    """Print the status; in colours on a terminal, unless NO_COLOR is set.

    Args:
        stages: All of them.
        durations: What runs took.
        file: Where to.
    """
    console = Console(file=file, highlight=False, markup=False, width=None if file.isatty() else _WIDTH)
    console.print(_grid(cells(stages)))
    console.print(_groups(stages, durations))
    if any(stage.state != "done" for stage in stages):
        console.print(_reasons(stages))
    console.print(_time(stages, durations))


def duration(seconds: float) -> str:
    """Seconds as text, such as `4 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _grid(found: Sequence[Cell]) -> Table:
    """One row a method and seed, one column a round; the base models are round 0."""
    rounds = sorted({cell.round for cell in found})
    states = {(cell.method, cell.seed, cell.round): cell.state for cell in found}
    table = _table("method", "seed", *(f"k = {k}" for k in rounds))
    rows = dict.fromkeys((cell.method, cell.seed) for cell in found)
    for method, seed in sorted(rows, key=lambda row: row[0] != BASE):
        table.add_row(method, str(seed), *(_state(states.get((method, seed, k))) for k in rounds))
    return table


def _groups(stages: Sequence[Stage], durations: Durations) -> Table:
    table = _table("stage group", *STATES, "spent", "still expected")
    for group in groups(stages, durations):
        counts = [Text(str(n), COLOURS[state]) if (n := group.counts[state]) else Text("") for state in STATES]
        expected = duration(group.expected) if group.expected else ""
        unknown = f"{group.untimed} never timed" if group.untimed else ""
        spent = duration(group.spent) if group.spent else ""
        table.add_row(group.name, *counts, spent, ", ".join(filter(None, (expected, unknown))))
    return table


def _reasons(stages: Sequence[Stage]) -> Table:
    """Each reason once, with the stages that it holds for."""
    found: dict[tuple[State, str], list[str]] = {}
    for stage in stages:
        for reason in stage.reasons:
            # What only follows from another stage is one line, not one for each stage before it.
            text = _AFTER if reason.startswith("after ") else reason
            found.setdefault((stage.state, text), []).append(stage.name)
    table = _table("state", "because", "stages")
    for (state, reason), names in sorted(found.items(), key=lambda item: item[0][1] == _AFTER):
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        table.add_row(_state(state), reason, ", ".join(names[:_NAMED]) + more)
    return table


def _time(stages: Sequence[Stage], durations: Durations) -> str:
    """The time of all stages together, as far as it is known."""
    by_group = groups(stages, durations)
    spent, expected = (sum(getattr(group, name) for group in by_group) for name in ("spent", "expected"))
    to_run, untimed = sum(stage.state != "done" for stage in stages), sum(group.untimed for group in by_group)
    done = f"{len(stages) - to_run} of {len(stages)} stages are done"
    done += f"; their last runs took {duration(spent)}." if spent else "."
    if to_run == untimed:
        return done + " How long the others take is not known: none of this profile has run here yet." * bool(to_run)
    unknown = f", and {untimed} that were never timed" if untimed else ""
    return (
        f"{done} {to_run - untimed} to run in about {duration(expected)}{unknown}; less where DVC's cache has results."
    )


def _table(*header: str) -> Table:
    return Table(*header, box=box.SIMPLE_HEAD, pad_edge=False)


def _state(state: State | None) -> Text:
    return Text(state, COLOURS[state]) if state else Text("")
