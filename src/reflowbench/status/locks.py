"""Which outputs a DVC process is writing: DVC's own record of locks, `.dvc/tmp/rwlock`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RWLOCK = "rwlock"


def writers(folder: Path) -> dict[str, str]:
    """Read DVC's record of locks.

    It is JSON: under `write` one holder, its `pid` and `cmd`, for each absolute path; a process that
    was killed leaves its entries behind.

    Args:
        folder: DVC's temporary folder.

    Returns:
        The holder, as text, of each path that a living process of this machine writes to.
    """
    import psutil

    try:
        held = json.loads((folder / RWLOCK).read_text(encoding="utf-8")).get("write", {})
        return {path: _text(info) for path, info in held.items() if psutil.pid_exists(int(info["pid"]))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none yet, half written, or another version's
        return {}


def _text(info: dict[str, Any]) -> str:
    """Such as `dvc repro (process 4711)`, without the folder of the command."""
    program, _, arguments = str(info["cmd"]).partition(" ")
    return f"{Path(program).name} {arguments} (process {info['pid']})"
