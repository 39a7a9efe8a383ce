"""Files of DVC's own that a kill or a full disk can cut short (`reflowbench recover`, part of `make repro`).

DVC writes dvc.lock in place after every stage, stage by stage, so what is left of it is its beginning. What is missing
comes back from DVC's run cache: no stage needs to compute again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from reflowbench.core.artifacts import write_text
from reflowbench.tracking.lock import LOCK

RWLOCK = Path(".dvc/tmp/rwlock")
_STAGE = re.compile(r"^  \S.*:$", re.MULTILINE)
_MD5 = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def recover(root: Path = Path()) -> list[str]:
    """Make dvc.lock and DVC's table of locks readable again if they are not.

    Args:
        root: The folder of dvc.yaml.

    Returns:
        What was done, as sentences; nothing where all is well.
    """
    done = []
    lock = root / LOCK
    if lock.exists() and not _is_whole(text := lock.read_text(encoding="utf-8", errors="replace")):
        kept = _beginning(text)
        if kept:
            write_text(lock, kept)
        else:
            lock.unlink()
        count = len(_STAGE.findall(kept))
        done.append(f"{lock}: was cut short; {count} stages kept, the others come back from DVC's run cache")
    rwlock = root / RWLOCK
    if rwlock.exists() and not _is_json(rwlock):
        rwlock.unlink()
        done.append(f"{rwlock}: was cut short; removed")
    return done


def _beginning(text: str) -> str:
    """As many whole stages as there are; empty if there is none."""
    ends = [match.start() for match in _STAGE.finditer(text)]
    return next((text[:end] for end in reversed(ends[1:]) if _is_whole(text[:end])), "")


def _is_whole(text: str) -> bool:
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
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        return False
