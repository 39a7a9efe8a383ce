"""Questions to Git, of the repository that the current folder is in."""

from __future__ import annotations

import subprocess
from pathlib import Path

from reflowbench.errors import ReflowbenchError


def ask(*arguments: str, folder: Path | None = None) -> bytes | None:
    """Run a Git command that only reads.

    Args:
        arguments: The command.
        folder: Where; the current folder if None.

    Returns:
        What it printed; None if it failed.

    Raises:
        ReflowbenchError: If Git is not installed.
    """
    # Status would otherwise take the lock of the index, and a commit beside it would fail.
    command = ["git", "--no-optional-locks", *arguments]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        raise ReflowbenchError("git: no such command; install Git, which holds the revisions") from None
    return None if result.returncode else result.stdout


def line(*arguments: str, folder: Path | None = None) -> str | None:
    """Run a Git command that prints a line; None if it failed."""
    found = ask(*arguments, folder=folder)
    return None if found is None else found.decode(errors="replace").strip()


def commit_of(revision: str, folder: Path | None = None) -> str:
    """Find the commit of a revision.

    Args:
        revision: A branch, tag or commit.
        folder: Where; the current folder if None.

    Returns:
        The full hash.

    Raises:
        ReflowbenchError: If there is no such revision or no repository.
    """
    found = line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", folder=folder)
    if found is None:
        if line("rev-parse", "--git-dir", folder=folder) is None:
            raise ReflowbenchError(
                f"{folder or Path.cwd()}: not in a Git repository; run this in a clone of the project"
            )
        raise ReflowbenchError(f"{revision}: no such revision; `git branch --all` and `git log --oneline` name them")
    return found
