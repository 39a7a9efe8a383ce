"""Files of DVC's own that a kill or a full disk can cut short (`reflowbench recover`, part of `make repro`).

DVC writes dvc.lock in place after every stage, stage by stage, so what is left of it is its beginning. What is missing
comes back from DVC's run cache: no stage needs to compute again.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import write_text
from reflowbench.tracking.lock import LOCK

RWLOCK = Path(".dvc/tmp/rwlock")
_STAGE = re.compile(r"^  \S.*:$", re.MULTILINE)
_MD5 = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def recover(root: Path = Path()) -> list[str]:
    """Make every dvc.lock and DVC's table of locks readable again if they are not.

    Args:
        root: The folder of dvc.yaml; those of the folders in it are seen to as well.

    Returns:
        What was done, as sentences; nothing where all is well.

    Raises:
        ReflowbenchError: If something is to be done and a `dvc` is at work, which may be writing just that.
    """
    found = [path for pattern in ("", "*/", "*/*/") for path in sorted(root.glob(f"{pattern}{LOCK}"))]
    rwlock = root / RWLOCK
    if all(map(_is_whole, found)) and _is_json(rwlock):
        return []
    with _alone(root):  # a file that is being written looks as if it were cut, until its writer is done
        done = [_shortened(lock) for lock in found if not _is_whole(lock)]
        if not _is_json(rwlock):
            rwlock.unlink()
            done.append(f"{rwlock}: was cut short; removed")
    return done


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the locks under which DVC writes these files."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError, make_lock
    from dvc.repo import Repo

    try:
        repo = Repo(str(root))
        links = repo.config["core"].get("hardlink_lock", False)
        table = make_lock(str(root / f"{RWLOCK}.lock"), tmp_dir=repo.tmp_dir, hardlink_lock=links)
        with repo.lock, table:
            yield
    except LockError:
        raise ReflowbenchError(
            f"{root / LOCK}: cannot be read now and a `dvc` is at work here: wait until it has ended, then try again"
        ) from None
    except DvcException as error:
        raise ReflowbenchError(f"{root.resolve()}: {error}") from None


def _shortened(lock: Path) -> str:
    kept = _beginning(lock.read_text(encoding="utf-8", errors="replace"))
    if kept:
        write_text(lock, kept)
    else:
        lock.unlink()
    count = len(_STAGE.findall(kept))
    return f"{lock}: was cut short; {count} stages kept, the others come back from DVC's run cache"


def _beginning(text: str) -> str:
    """As many whole stages as there are; empty if there is none."""
    ends = [match.start() for match in _STAGE.finditer(text)]
    return next((text[:end] for end in reversed(ends[1:]) if _is_lock(text[:end])), "")


def _is_whole(lock: Path) -> bool:
    return _is_lock(lock.read_text(encoding="utf-8", errors="replace"))


def _is_lock(text: str) -> bool:
    try:
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return False
    stages = content.get("stages") if isinstance(content, dict) else None
    return isinstance(stages, dict) and all(map(_is_entry, stages.values()))


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("cmd"), str):
        return False
    lists, params = [entry.get(name, []) for name in ("deps", "outs")], entry.get("params", {})
    if not all(isinstance(items, list) for items in lists) or not isinstance(params, dict):
        return False
    return all(_is_item(item) for items in lists for item in items) and all(
        isinstance(values, dict) for values in params.values()
    )


def _is_item(item: object) -> bool:
    """Whether a dependency or output has what DVC needs of it; a hash that is cut is none."""
    if not isinstance(item, dict) or not all(isinstance(item.get(name), str) for name in ("path", "hash", "md5")):
        return False
    sizes = all(isinstance(item.get(name, 0), int) for name in ("size", "nfiles"))
    return sizes and _MD5.fullmatch(item["md5"]) is not None


def _is_json(path: Path) -> bool:
    """Whether a file holds a mapping, or is not there."""
    if not path.exists():
        return True
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        return False
