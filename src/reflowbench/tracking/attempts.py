"""Runs of stages on this machine, by the sidecar and the journals: each an attempt at an entry of dvc.lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reflowbench.runtime.sidecar import LIVE, RUNS
from reflowbench.tracking.lock import Entry

LIVE_PREFIX = "live/"
"""Of metrics that a journal tells. What DVC's outputs tell has none."""


@dataclass(frozen=True)
class Attempt:
    """One process that ran a stage.

    Attributes:
        run: What names it.
        stage: Name of the stage.
        exit: Exit status; None while it runs, and for ever if it was killed.
        started: Seconds since 1970; 0 if it did not get to say.
        outs: Hashes of its outputs, by path.
        facts: What else the sidecar holds: seconds, peak_bytes, host, hardware.
        journal: Its journal, if it was a training.
        alive: Whether it is running.
    """

    run: str
    stage: str
    exit: int | None = None
    started: float = 0.0
    outs: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    journal: Path | None = None
    alive: bool = False

    def made(self, name: str, entry: Entry) -> bool:
        """Say whether an entry of dvc.lock is what this attempt gave."""
        outs = {item["path"]: item.get("md5") for item in entry.get("outs", [])}
        return self.stage == name and bool(self.outs) and all(outs.get(path) == md5 for path, md5 in self.outs.items())

    def superseded(self, attempts: Iterable[Attempt]) -> bool:
        """Say whether the stage has come to its end in a later attempt."""
        # Names begin with the time, of the same number of digits until the year 2286.
        return any(a.exit == 0 and a.stage == self.stage and a.run > self.run for a in attempts)


@dataclass(frozen=True)
class LivePoint:
    """One value of a journal.

    Attributes:
        key: Name of the metric.
        value: Its value.
        step: Updates made.
        time: Milliseconds since 1970.
    """

    key: str
    value: float
    step: int
    time: int


def read_attempts(folder: Path) -> list[Attempt]:
    """Read what a sidecar holds; damaged lines are left out.

    Args:
        folder: The sidecar.

    Returns:
        The attempts at stages, the latest last.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in (folder / LIVE).glob("*.jsonl"):
        with contextlib.suppress(OSError):
            head = next(iter(_lines(path.read_bytes())), None)
            if head and isinstance(head.get("stage"), str) and head.get("run") == path.stem:
                found[path.stem] = {"stage": head["stage"], "journal": path, "alive": is_alive(path)}
    with contextlib.suppress(OSError):
        for line in _lines((folder / RUNS).read_bytes()):
            run, stage = line.get("run"), line.get("stage")
            if isinstance(run, str) and isinstance(stage, str):
                known: dict[str, Any] = {name: _number(line.get(name)) for name in ("seconds", "peak_bytes")}
                known |= {name: line.get(name) for name in ("host", "hardware")}
                found[run] = found.get(run, {}) | {
                    "stage": stage,
                    "exit": line.get("exit"),
                    "started": _number(line.get("started")) or 0.0,
                    "outs": line["outs"] if isinstance(line.get("outs"), dict) else {},
                    "facts": {name: value for name, value in known.items() if value is not None},
                }
    return [Attempt(run, **found[run]) for run in sorted(found)]


def attempt_at(name: str, entry: Entry, attempts: Sequence[Attempt]) -> Attempt | None:
    """Find the attempt that made an entry of dvc.lock: the first, if it was made again to the same bytes."""
    return next((attempt for attempt in attempts if attempt.exit == 0 and attempt.made(name, entry)), None)


def is_alive(journal: Path) -> bool:
    """Say whether the process that writes a journal is running: it holds a lock as long as it lives."""
    with journal.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read_points(journal: Path, offset: int = 0) -> tuple[list[LivePoint], int]:
    """Read values from a journal, which may still be written.

    Args:
        journal: The file.
        offset: Where to begin, in bytes.

    Returns:
        The values of all whole lines from there, and where they end.
    """
    with journal.open("rb") as file:
        file.seek(offset)
        text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    return [point for line in _lines(whole) for point in _points(line)], offset + len(whole)


def plots_of(journal: Path) -> Path | None:
    """Folder of a training's curves and sample grids."""
    head = next(iter(_lines(journal.read_bytes())), {})
    return Path(head["plots"]) if isinstance(head.get("plots"), str) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _points(line: Mapping[str, Any]) -> Iterator[LivePoint]:
    try:
        step, time = int(line["step"]), int(line["time"])
    except (KeyError, TypeError, ValueError):
        return
    for key, value in line.items():
        if key not in ("step", "time") and isinstance(value, int | float):
            yield LivePoint(key if key.startswith("system/") else LIVE_PREFIX + key, float(value), step, time)


def _lines(text: bytes) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # cut off by a crash, or by a full disk
            value = json.loads(line)
            if isinstance(value, dict):
                yield value
