"""Weights that others trained: a file, and the checksum that says it is the one that is meant."""

from __future__ import annotations

import hashlib
from pathlib import Path

from reflowbench.errors import ReflowbenchError


def verify(path: Path, sha256: str, asked_for: str, remedy: str) -> None:
    """Check that a file is the one that is meant, before anything in it is trusted.

    Args:
        path: The file.
        sha256: Its checksum, 64 hexadecimal digits in lower case.
        asked_for: The parameter that asks for it, and what it is.
        remedy: What the user can do.

    Raises:
        ReflowbenchError: If it is missing, unreadable or another file.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()  # reads in pieces: memory stays flat
    except OSError as error:
        raise ReflowbenchError(f"{asked_for}: cannot read {path} ({error.strerror}). {remedy}") from None
    if found != sha256:
        raise ReflowbenchError(
            f"{asked_for}: {path} has the SHA-256 {found}, not {sha256}: it is damaged or another file. {remedy}"
        )
