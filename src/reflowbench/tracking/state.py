"""A state of the pipeline: what dvc.lock says, where its data is, and which commit it is of."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from reflowbench import git
from reflowbench.errors import ReflowbenchError
from reflowbench.tracking.contents import Contents
from reflowbench.tracking.lock import LOCK, ROUNDS, Entry, parse_lock, read_lock, state_hash

UNKNOWN = "unknown"
EXPERIMENTS = "refs/exps"


@dataclass(frozen=True)
class State:
    """What is mirrored.

    Attributes:
        entries: The lock entry of each stage, by name.
        contents: The data that they name.
        tags: The commit, branch, whether there were changes (`git.dirty`), and the DVC experiment, if it is one.
        checked_out: Whether it is the working tree's own.
    """

    entries: dict[str, Entry]
    contents: Contents
    tags: dict[str, str]
    checked_out: bool

    @cached_property
    def hash(self) -> str:
        """Hash of all entries."""
        return state_hash(self.entries)


@contextlib.contextmanager
def open_state(workspace: Path, revision: str | None = None) -> Iterator[State]:
    """Read a state.

    Args:
        workspace: The folder of dvc.yaml.
        revision: A branch, tag, commit or DVC experiment; the working tree if None.

    Yields:
        The state. Files of a revision are there only as long as it is open.

    Raises:
        ReflowbenchError: If there is no such revision, or its dvc.lock is missing or damaged.
    """
    if revision is None:
        entries = read_lock(workspace)
        yield State(entries, Contents(workspace, [workspace]), _tags(workspace), checked_out=True)
        return
    ref, experiment = _resolve(revision, workspace)
    commit = git.commit_of(ref, workspace)
    entries = _entries(commit, revision, workspace)
    is_branch = git.ask("show-ref", "--verify", "--quiet", f"refs/heads/{revision}", folder=workspace) is not None
    branch = revision if is_branch else UNKNOWN
    tags = {"git.commit": commit, "git.branch": branch, "git.dirty": "false"}
    if experiment:
        tags["dvc.experiment"] = experiment
    with tempfile.TemporaryDirectory() as folder:
        reports = git.ask("archive", "--format=zip", commit, "reports", folder=workspace)
        if reports:
            _write(reports, Path(folder))
        contents = Contents(workspace, [Path(folder), workspace])
        yield State(entries, contents, tags, checked_out=False)


def _entries(commit: str, revision: str, workspace: Path) -> dict[str, Entry]:
    """The lock entries of a revision, of the pipeline and of its rounds."""
    names = git.line("ls-tree", "-r", "--name-only", commit, "--", LOCK, f"{ROUNDS}/", folder=workspace) or ""
    found: dict[str, Entry] = {}
    locks = [name for name in names.splitlines() if Path(name).name == LOCK]
    if LOCK not in locks:
        raise ReflowbenchError(f"{revision}: has no {LOCK}; name a revision at which `dvc repro` had run")
    for name in locks:
        text = git.ask("show", f"{commit}:./{name}", folder=workspace)
        found |= parse_lock(text or b"", f"{name} of {revision}")
    return dict(sorted(found.items()))


def _write(archive: bytes, folder: Path) -> None:
    """Write the files of a zip that Git made, none outside of the folder."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:  # tarfile has a filter for that since Python 3.11.4 only
        for name in files.namelist():
            path = folder / name
            if not name.endswith("/") and path.is_relative_to(folder) and ".." not in path.parts:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(files.read(name))


def _resolve(revision: str, workspace: Path) -> tuple[str, str | None]:
    """Give what Git knows a revision by, and its name if it is an experiment of DVC: Git needs their full name."""
    if git.line("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", folder=workspace) is None:
        for ref in (git.line("for-each-ref", "--format=%(refname)", EXPERIMENTS, folder=workspace) or "").split():
            if ref.rpartition("/")[2] == revision:
                return ref, revision
    return revision, None


def _tags(workspace: Path) -> dict[str, str]:
    """Say which commit is checked out, if the workspace is in a Git repository."""
    # HEAD is the baseline in a run of an experiment, which is in no commit yet.
    experiment = os.environ.get("DVC_EXP_NAME")
    tags = {"dvc.experiment": experiment} if experiment else {}
    try:
        commit = git.line("rev-parse", "--verify", "--quiet", "HEAD", folder=workspace)
        branch = git.line("branch", "--show-current", folder=workspace)
        changes = git.line("status", "--porcelain", "--", ".", folder=workspace)
    except ReflowbenchError:  # a workspace without Git is a workspace
        return tags
    if commit is None:
        return tags
    return {**tags, "git.commit": commit, "git.branch": branch or UNKNOWN, "git.dirty": str(bool(changes)).lower()}
