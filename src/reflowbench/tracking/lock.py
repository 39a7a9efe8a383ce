"""dvc.lock as the key of the mirror: what each stage ran on and gave, as one hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from reflowbench.core.artifacts import content_hash
from reflowbench.core.errors import ReflowbenchError

LOCK = "dvc.lock"
MIRROR_STAGE = "track"
"""Left out of the state: dvc.lock holds no entry for it yet while it runs itself."""

REPORT_STAGES = ("summarize", "report")

Entry = dict[str, Any]

# libyaml reads the lock of 130 stages in 0.1 s, the Python parser in 0.6 s.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_lock(path: Path) -> dict[str, Entry]:
    """Read the stages of a dvc.lock, without the mirror's own.

    Args:
        path: The file.

    Returns:
        The lock entry (cmd, deps, params, outs) of each stage by its name, sorted by name.

    Raises:
        ReflowbenchError: If the file is missing or is not a dvc.lock.
    """
    remedy = f"restore it (`git checkout {path.name}`) or delete it, then run `dvc repro`"
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file, so there is nothing to mirror yet; run `dvc repro`") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ReflowbenchError(f"{path}: damaged ({' '.join(str(error).split())}); {remedy}") from None
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict):
        raise ReflowbenchError(f"{path}: damaged (no `stages` in it); {remedy}")
    for name, entry in stages.items():
        if not isinstance(entry, dict) or "cmd" not in entry:
            raise ReflowbenchError(f"{path}: damaged (no `cmd` in stages.{name}); {remedy}")
    return {name: stages[name] for name in sorted(stages) if name != MIRROR_STAGE}


def stage_hash(name: str, entry: Mapping[str, Any]) -> str:
    """Give the sha256 of a stage's name and lock entry; the order of keys does not matter."""
    return _sha256({"stage": name, "entry": entry})


def state_hash(entries: Mapping[str, Entry]) -> str:
    """Give the sha256 of a whole pipeline state, the entries of `read_lock`."""
    return _sha256({name: stage_hash(name, entry) for name, entry in entries.items()})


def _sha256(value: Any) -> str:
    # default=str: YAML may read an unquoted parameter as a date.
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def reports_match(workspace: Path, entries: Mapping[str, Entry]) -> bool:
    """Say whether reports/ was made from the evaluations that dvc.lock names.

    It was not while a `dvc repro` has only come part of the way: the evaluations are new, and
    results.csv still has the numbers of the last ones. Those must not be logged for the new ones.

    Args:
        workspace: The folder of dvc.yaml.
        entries: Its lock entries.

    Returns:
        Whether all data that the reporting stages read and wrote still have the hashes of the lock.
        Evaluations that are not there at all (a clone without `dvc pull`) do not count against it.
    """
    for name in REPORT_STAGES:
        if name not in entries:
            return False
        for item in (*entries[name].get("deps", []), *entries[name].get("outs", [])):
            path = workspace / item["path"]
            is_evaluation = item["path"].startswith("runs/")
            if is_evaluation and not path.exists():
                continue
            if (is_evaluation or item["path"].startswith("reports/")) and content_hash(path) != item.get("md5"):
                return False
    return True
