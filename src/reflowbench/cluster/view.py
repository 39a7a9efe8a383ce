"""A launch as it goes: one line for each task, with the stage that it is at."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TextIO

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reflowbench.cluster.plan import Plan
from reflowbench.cluster.schedule import Run, State
from reflowbench.status.view import duration

COLOURS: dict[State, str] = {
    "waiting": "dim", "running": "bold cyan", "done": "green", "failed": "red", "skipped": "yellow",
    "stopped": "yellow",
}  # fmt: skip
_STAGE = re.compile(rb"^(Running s|S)tage '(?:[^':]*:)?([^']+)'", re.MULTILINE)
_WIDTH = 160


class Log:
    """What DVC says of a task's stages, read as it is written."""

    def __init__(self, path: Path) -> None:
        """Read from here on.

        Args:
            path: The log; need not be there yet.
        """
        self._path = path
        self._read = path.stat().st_size if path.exists() else 0
        self._rest = b""
        self._seen: dict[str, None] = {}
        self.stage = ""
        """The one that it is at."""

    def update(self, stages: tuple[str, ...]) -> int:
        """Read on.

        Args:
            stages: Those of the task.

        Returns:
            How many of them are through, whether they ran or came from the cache.
        """
        if self._path.exists() and self._path.stat().st_size > self._read:
            with self._path.open("rb") as file:
                file.seek(self._read)
                text = self._rest + file.read()
                self._read = file.tell()
            whole, _, self._rest = text.rpartition(b"\n")
            for match in _STAGE.finditer(whole):
                self.stage = match[2].decode(errors="replace")
                self._seen[self.stage] = None
        begun = [stage for stage in stages if stage in self._seen]
        return max(0, len(begun) - 1) if begun and begun[-1] == self.stage else len(begun)


class View:
    """Shows runs on a terminal as a table that follows them, elsewhere as a line when one ends or is tried again."""

    def __init__(self, runs: Mapping[str, Run], file: TextIO) -> None:
        """Prepare.

        Args:
            runs: What to show.
            file: Where.
        """
        self._runs = runs
        self.logs: dict[str, Log] = {}
        self._console = Console(file=file, highlight=False, markup=False, width=None if file.isatty() else _WIDTH)
        self._live = Live(console=self._console, refresh_per_second=4) if file.isatty() else None
        self._shown: dict[str, tuple[State, int]] = {name: (run.state, run.tries) for name, run in runs.items()}

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.update()
        if self._live:
            self._live.stop()

    def update(self) -> None:
        """Show what has changed."""
        if self._live:
            self._live.update(self._table())
            return
        for name, run in self._runs.items():
            if (run.state, run.tries) != self._shown[name]:
                self._shown[name] = run.state, run.tries
                if run.state == "running" and run.tries == 1:
                    continue  # the line when it ends is enough
                self._console.print(f"{time.strftime('%H:%M:%S')} {name}: {_said(run)}", soft_wrap=True)

    def _table(self) -> Table:
        table = Table("task", "state", "stages", "at", "time", box=box.SIMPLE_HEAD, pad_edge=False)
        for name, run in self._runs.items():
            log = self.logs.get(name)
            count = log.update(run.task.stages) if log else 0
            at = log.stage if log and run.state == "running" else run.reason
            through = len(run.task.stages) if run.state == "done" else count
            tried = f" (try {run.tries})" if run.tries > 1 else ""
            state = Text(run.state + tried, COLOURS[run.state])
            took = duration(run.elapsed()) if run.tries else ""
            table.add_row(name, state, f"{through}/{len(run.task.stages)}", at, took)
        return table


def _said(run: Run) -> str:
    """The state in a line of a log."""
    reason = f": {run.reason}" if run.reason else ""
    if run.state == "running":
        return "started" if run.tries == 1 else f"started again (try {run.tries})"
    if run.state == "waiting":
        return f"failed, is tried again{reason}"
    return f"{run.state}{f' after {duration(run.seconds)}' if run.tries else ''}{reason}"


def show_plan(plan: Plan, done: set[str], file: TextIO) -> None:
    """Print what would run.

    Args:
        plan: The plan.
        done: Names of the tasks that need not run.
        file: Where.
    """
    console = Console(file=file, highlight=False, markup=False, width=None if file.isatty() else _WIDTH)
    table = Table("task", "state", "stages", "after", "targets of `dvc repro`", box=box.SIMPLE_HEAD, pad_edge=False)
    for task in plan.tasks:
        state: State = "done" if task.name in done else "waiting"
        table.add_row(task.name, Text(state, COLOURS[state]), str(len(task.stages)), ", ".join(task.after),
                      ", ".join(task.targets))  # fmt: skip
    console.print(table)
    console.print(f"then, here: {', '.join(plan.final)}", soft_wrap=True)
