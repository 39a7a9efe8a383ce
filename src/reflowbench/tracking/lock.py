"""dvc.lock as the key of the mirror: what each stage ran on and gave, as one hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from reflowbench.errors import ReflowbenchError

LOCK = "dvc.lock"
ROUNDS = "rounds"
MIRROR_STAGE = "track"
"""Left out of the state: dvc.lock holds no entry for it yet while it runs itself."""

Entry = dict[str, Any]

# libyaml reads the lock of 130 stages in 0.1 s, the Python parser in 0.6 s.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def lock_files(root: Path = Path()) -> list[Path]:
    """The dvc.lock of the root's pipeline and those of its rounds, as far as they are there."""
    rounds = [path for path in root.glob(f"{ROUNDS}/*/{LOCK}") if path.parent.name.isdecimal()]
    own = [root / LOCK] if (root / LOCK).exists() else []
    return own + sorted(rounds, key=lambda path: int(path.parent.name))


def read_lock(root: Path) -> dict[str, Entry]:
    """Read the stages of the pipeline's dvc.lock and of those of its rounds, without the mirror's own.

    Args:
        root: The folder of dvc.yaml.

    Returns:
        The lock entry (cmd, deps, params, outs) of each stage by its name, sorted by name.

    Raises:
        ReflowbenchError: If there is none, or one is damaged.
    """
    if not (root / LOCK).exists():
        raise ReflowbenchError(f"{root / LOCK}: no such file, so there is nothing to mirror yet; run `dvc repro`")
    found: dict[str, Entry] = {}
    for path in lock_files(root):
        found |= parse_lock(path.read_bytes(), str(path))
    return dict(sorted(found.items()))


def parse_lock(text: bytes, name: str) -> dict[str, Entry]:
    """Read the stages of a dvc.lock from its text.

    Args:
        text: What is in the file.
        name: How errors call it.

    Returns:
        As `read_lock`, of this file alone.

    Raises:
        ReflowbenchError: If it is not a dvc.lock.
    """
    remedy = f"restore it (`git checkout {LOCK}`) or delete it, then run `dvc repro`"
    try:
        content = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ReflowbenchError(f"{name}: damaged ({' '.join(str(error).split())}); {remedy}") from None
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict):
        raise ReflowbenchError(f"{name}: damaged (no `stages` in it); {remedy}")
    for stage, entry in stages.items():
        if not isinstance(entry, dict) or "cmd" not in entry:
            raise ReflowbenchError(f"{name}: damaged (no `cmd` in stages.{stage}); {remedy}")
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


def producers(entries: Mapping[str, Entry]) -> dict[str, list[str]]:
    """Find which stages made what a stage depends on.

    Args:
        entries: All stages.

    Returns:
        The names of the stages right before each stage, sorted, by its name. An output counts also if it lies below a
        folder that the stage depends on, or the other way round.
    """
    made = {item["path"]: name for name, entry in entries.items() for item in entry.get("outs", [])}
    found = {}
    for name, entry in entries.items():
        paths = [item["path"] for item in entry.get("deps", [])]
        before = {made[path] for path in paths if path in made}
        folders = [f"{path}/" for path in paths if path not in made and not path.startswith(("src/", "stages/"))]
        before |= {maker for out, maker in made.items() if any(out.startswith(folder) for folder in folders)}
        before |= {maker for out, maker in made.items() if any(folder.startswith(f"{out}/") for folder in folders)}
        found[name] = sorted(before - {name})
    return found
