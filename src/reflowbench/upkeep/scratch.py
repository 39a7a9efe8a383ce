"""What lies in scratch space (`reflowbench scratch`): saved work of killed stages, and batches of diverged ones."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import locks, sidecar, workspace
from reflowbench.runtime.artifacts import read_json


@dataclass(frozen=True)
class Item:
    """One thing in scratch space.

    Attributes:
        path: Where it is.
        what: What it is.
        size: Bytes.
        changed: When it was last written, in seconds since the epoch.
        holder: The process that works on it; empty if none does.
    """

    path: Path
    what: str
    size: int
    changed: float
    holder: str = ""


def items() -> list[Item]:
    """What there is, the oldest first."""
    return sorted((*_saved(), *_diverged()), key=lambda item: item.changed)


def _saved() -> Iterator[Item]:
    for folder in (sidecar.folder() / workspace.FOLDER).glob("*"):
        try:
            about = read_json(folder / workspace.ABOUT)
            what = str(about["stage"] or about["script"])
        except (ReflowbenchError, KeyError):
            what = "unknown: its description is damaged"
        facts = []
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a stage that works replaces its files
                facts.append(path.stat())
        size, changed = sum(fact.st_size for fact in facts), max((fact.st_mtime for fact in facts), default=0.0)
        holder = locks.holder(_locks(), workspace.subject(folder.name))
        yield Item(folder, f"saved work of {what}", size, changed, holder)


def _locks() -> Path:
    return sidecar.folder() / locks.FOLDER


def _diverged() -> Iterator[Item]:
    for path in (sidecar.folder() / sidecar.DIVERGED).glob("*.safetensors"):
        facts = path.stat()
        yield Item(path, "batch at which a training diverged", facts.st_size, facts.st_mtime)


def clean() -> list[Item]:
    """Remove everything that no process works on.

    Returns:
        What was removed.
    """
    removed = []
    for item in items():
        if item.path.is_dir():
            try:
                with locks.locked(_locks(), workspace.subject(item.path.name)):  # a stage may begin any moment
                    shutil.rmtree(item.path)
            except locks.LockedError:
                continue
        else:
            item.path.unlink(missing_ok=True)
        removed.append(item)
    return removed
