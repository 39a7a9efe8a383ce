"""Where tasks run: processes of this machine; jobs of SLURM are in `slurm`."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from reflowbench.cluster.processes import Process
from reflowbench.cluster.schedule import Job
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import write_json


class Backend(Protocol):
    """Starts commands."""

    def start(self, name: str, command: Sequence[str], clone: Path, variables: Mapping[str, str], log: Path) -> Job:
        """Start a command.

        Args:
            name: Of the task.
            command: The command.
            clone: The folder that it runs in.
            variables: Of its environment, besides those that this process has.
            log: What it says is appended to this file.

        Returns:
            What was started.
        """

    def ended(self, name: str) -> None:
        """Take note that a task has ended."""


class Local:
    """Processes of this machine. While one runs there is a file about it, for a launch after one that was killed."""

    def __init__(self, folder: Path) -> None:
        """Prepare.

        Args:
            folder: For the files about what runs.

        Raises:
            ReflowbenchError: If something of an earlier launch runs still.
        """
        self._folder = folder
        for path in sorted(folder.glob("*.json")):
            if pid := _living(path):
                host = platform.node()
                raise ReflowbenchError(
                    f"{path.stem} of a launch that was killed still runs (process {pid} on {host}): wait until "
                    f"it has ended, or stop it by `kill -- -{pid}` (its stage saves its work); then launch again"
                )
            path.unlink()

    def start(self, name: str, command: Sequence[str], clone: Path, variables: Mapping[str, str], log: Path) -> Job:
        """Start a command; see `Backend`."""
        import psutil

        process = Process(command, clone, os.environ | variables, log)
        with contextlib.suppress(psutil.Error):
            facts = {"pid": process.pid, "created": psutil.Process(process.pid).create_time(), "host": platform.node()}
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._folder / f"{name}.json", facts, seal=False)
        return process

    def ended(self, name: str) -> None:
        """Remove the file about it."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)


def _living(path: Path) -> int | None:
    """The process that a file is about, if it lives."""
    import psutil

    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        pid, created, host = int(facts["pid"]), float(facts["created"]), str(facts["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if host != platform.node():
        raise ReflowbenchError(
            f"{path.stem} of a launch on {host} may still run there (process {pid}): see to it that it does not, "
            f"remove {path}, then launch again"
        )
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - created) < 1:
            return pid
    return None
