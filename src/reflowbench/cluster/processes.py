"""A command with all that it starts: `dvc` and its stage outlive one another, so they are watched as one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Process:
    """A command in a process group of its own, which Ctrl-C at the terminal does not reach."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path | None) -> None:
        """Start it.

        Args:
            command: The command.
            folder: Where it runs.
            environment: All its variables.
            log: File that its output is appended to; the output of this process if None.
        """
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(log.open("ab")) if log else None
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT if file else None,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None as long as any process of the group lives."""
        status = self._process.poll()
        return None if status is None or members(self.pid) else status

    def stop(self) -> None:
        """Ask all processes to end; a stage saves what it has done before."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End all processes at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if members(self.pid):  # or the number of the group may be another's by now
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


def members(group: int) -> set[int]:
    """Processes of a group that live. Zombies do not: where nobody reaps them they stay for ever."""
    import psutil

    found = set()
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.add(pid)
    return found
