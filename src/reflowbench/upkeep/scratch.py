"""What lies in scratch space (`reflowbench scratch`): saved work of killed stages, and batches of diverged ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reflowbench.core import locks, resume, sidecar
from reflowbench.core.artifacts import read_json
from reflowbench.core.errors import ReflowbenchError


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
    for folder in (sidecar.folder() / resume.FOLDER).glob("*"):
        try:
            about = read_json(folder / resume.ABOUT)
            script, what = str(about["script"]), str(about["stage"] or about["script"])
        except (ReflowbenchError, KeyError):
            script, what = "", "unknown: its description is damaged"
        files = [path for path in folder.rglob("*") if path.is_file()]
        size, changed = sum(path.stat().st_size for path in files), max((p.stat().st_mtime for p in files), default=0.0)
        holder = locks.holder(sidecar.folder() / locks.FOLDER, resume.subject(script, folder.name))
        yield Item(folder, f"saved work of {what}", size, changed, holder)


def _diverged() -> Iterator[Item]:
    for path in (sidecar.folder() / sidecar.DIVERGED).glob("*.safetensors"):
        facts = path.stat()
        yield Item(path, "batch at which a training diverged", facts.st_size, facts.st_mtime)


def clean() -> list[Item]:
    """Remove everything that no process works on.

    Returns:
        What was removed.
    """
    free = [item for item in items() if not item.holder]
    for item in free:
        if item.path.is_dir():
            shutil.rmtree(item.path)
        else:
            item.path.unlink(missing_ok=True)
    return free
