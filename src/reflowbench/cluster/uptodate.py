"""Whether anything has changed since a launch was done: by size and time of each file, which takes a tenth of a second.

DVC itself needs several seconds to find that hundreds of stages are up to date.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from reflowbench.runtime.artifacts import SCRATCH, write_text

FOLDER = SCRATCH / "uptodate"
_WATCHED = ("src", "stages", "rounds", "reports", "runs", ".dvc/config", ".dvc/config.local")
_LEFT_OUT = (".scratch", "__pycache__")


def is_up_to_date(pipeline: Path) -> bool:
    """Whether all files are as `remember` saw them."""
    mark = _mark_of(pipeline)
    return mark.exists() and mark.read_text(encoding="utf-8") == _fingerprint(pipeline)


def remember(pipeline: Path) -> None:
    """Note that a pipeline is done with the files as they are now."""
    write_text(_mark_of(pipeline), _fingerprint(pipeline))


def _mark_of(pipeline: Path) -> Path:
    return FOLDER / (pipeline.as_posix().replace("/", "-") + ".txt")


def _fingerprint(pipeline: Path) -> str:
    digest = hashlib.sha256()
    for line in sorted(_lines(pipeline)):
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _lines(pipeline: Path) -> Iterator[str]:
    own = (folder / name for folder in (pipeline.parent, Path()) for name in ("dvc.yaml", "dvc.lock", "params.yaml"))
    for path in {*own, *map(Path, _WATCHED)}:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = [name for name in folders if name not in _LEFT_OUT]
                for name in names:
                    yield _line(os.path.join(folder, name))  # noqa: PTH118 (thousands of them)
        elif path.exists():
            yield _line(str(path))
    yield f"mlflow.db {Path('mlflow.db').exists()}\n"  # whether the mirror is there, which changes at any time


def _line(path: str) -> str:
    facts = os.stat(path)  # noqa: PTH116
    return f"{path} {facts.st_size} {facts.st_mtime_ns}\n"
