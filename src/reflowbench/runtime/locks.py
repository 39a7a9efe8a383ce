"""Locks of the operating system: no two processes work on one output. They end with the process, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from reflowbench.errors import ReflowbenchError

FOLDER = "locks"


class LockedError(ReflowbenchError):
    """Another process holds a lock."""


@contextlib.contextmanager
def locked(folder: Path, subject: str) -> Iterator[None]:
    """Hold a lock while working on something.

    A record lock (`lockf`): it also works on network file systems, and children do not inherit it, so that a stray
    one of a killed stage does not keep it.

    Args:
        folder: Where the files of locks are; each is there while its lock is held.
        subject: What is worked on, such as an output.

    Yields:
        Nothing.

    Raises:
        LockedError: If another process holds it; names the process and what to do.
    """
    path = _path(folder, subject)
    folder.mkdir(parents=True, exist_ok=True)
    with _taken(path, subject) as file:
        file.truncate(0)
        file.write(f"{os.getpid()} {platform.node()}")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def holder(folder: Path, subject: str) -> str:
    """The process that holds a lock, as "PID HOST"; empty if none does.

    Args:
        folder: As for `locked`.
        subject: As for `locked`.

    Returns:
        Such as `4711 node7`.
    """
    path = _path(folder, subject)
    with contextlib.suppress(FileNotFoundError), path.open("r+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return file.read(200)
    return ""


def _path(folder: Path, subject: str) -> Path:
    return folder / hashlib.sha256(os.fsencode(subject)).hexdigest()[:16]


def _taken(path: Path, subject: str) -> IO[str]:
    """Open and lock a file. One that its holder has removed in between is no lock any more: another must be made."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        except FileNotFoundError:
            pass  # removed since it was seen
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                print(f"WARNING: {path} cannot be locked ({error.strerror}): see to it yourself that no other "
                      f"process works on {subject}", file=sys.stderr)  # fmt: skip
                return file
            file.seek(0)
            pid, _, host = file.read(200).partition(" ")
            file.close()
            raise LockedError(
                f"process {pid or 'unknown'} on {host or 'an unknown host'} still works on {subject}: wait until it "
                f"has ended, or stop it there by `kill {pid}` (it saves what it has done, and the next run goes on "
                "from there); then run `dvc repro` again"
            ) from None
        file.close()
