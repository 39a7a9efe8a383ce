"""Clones of a checkout, one for each task: DVC's locks and dvc.lock are of one clone, its cache is shared.

What is of use to another run lies in the checkout: finished stages in DVC's cache, what killed ones saved, journals and
durations in scratch space, to which a clone has a link. So a clone can be thrown away at any time.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reflowbench import git
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import SCRATCH, write_text
from reflowbench.runtime.config import PARAMS_FILE, read_yaml
from reflowbench.upkeep.recover import recover

_LISTED = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
_READ, _RUNTIME = ("src/", "stages/"), "src/reflowbench/runtime/"
_CONFIG = Path(".dvc/config.local")


class Clones:
    """Clones of the state that a checkout has now: the last commit and what has changed since.

    Attributes:
        root: The checkout.
        folder: Where the clones are, `NAME` by `NAME`.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        """Keep a copy of the state, so that edits during a launch reach no clone.

        Args:
            root: The checkout.
            folder: For the clones and the copy.

        Raises:
            ReflowbenchError: If the checkout is not in Git's or DVC's hands, or the folder is another checkout's.
        """
        self.root, self.folder = root.resolve(), folder.resolve()
        self._state, owner = self.folder.parent / "state", self.folder.parent / "checkout"
        if owner.exists() and (other := owner.read_text(encoding="utf-8")) != str(self.root):
            raise ReflowbenchError(f"{owner.parent} has clones of {other}: remove it, or choose another by --folder")
        self._cache = _cache_of(self.root)
        self._files = _listed(self.root)
        shutil.rmtree(self._state, ignore_errors=True)
        _mirror(self.root, self._files, self._state)
        self._links = list(_inputs(self.root, set(self._files)))
        (self.root / SCRATCH).mkdir(exist_ok=True)
        write_text(owner, str(self.root))

    def prepare(self, name: str) -> Path:
        """Make a clone, or bring one that an earlier launch left to the state; its outputs stay.

        Args:
            name: Its name.

        Returns:
            Its folder.

        Raises:
            ReflowbenchError: If Git cannot clone the checkout.
        """
        clone = self.folder / name
        if not (clone / ".git").is_dir() or git.ask("status", "--porcelain", "-uno", folder=clone) is None:
            self.remove(name)
            clone.parent.mkdir(parents=True, exist_ok=True)
            _git("clone", "--quiet", "--shared", "--no-checkout", str(self.root), str(clone))
        _git("fetch", "--quiet", "origin", "HEAD", folder=clone, check=False)  # there may be no commit yet
        _git("reset", "--quiet", "FETCH_HEAD", folder=clone, check=False)
        for stranger in set(_listed(clone)) - set(self._files):  # first: a file may be in the way of a folder
            (clone / stranger).unlink(missing_ok=True)
        _mirror(self._state, self._files, clone)
        _link(clone / SCRATCH, self.root / SCRATCH)
        for path in self._links:
            _link(clone / path, self.root / path)
        _configure(self.root / _CONFIG, clone / _CONFIG, self._cache)
        exclude = clone / ".git/info/exclude"
        exclude.parent.mkdir(exist_ok=True)
        exclude.write_text(f"/{SCRATCH}\n", encoding="utf-8")  # .gitignore names a folder, this is a link
        recover(clone)
        return clone

    def remove(self, name: str) -> None:
        """Remove a clone; links in it are not followed."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def changed(self) -> list[str]:
        """Files of the checkout that stages read and that have changed since: no clone has seen that."""
        watched = [name for name in self._files if name.startswith(_READ) and not name.startswith(_RUNTIME)]
        watched += [name for name in self._files if Path(name).name in ("dvc.yaml", "params.yaml")]
        return sorted({name for name in watched if _differ(self._state / name, self.root / name)})

    def close(self) -> None:
        """Remove the copy of the state; no clone can be made any more."""
        shutil.rmtree(self._state, ignore_errors=True)


def python_path(clone: Path) -> str:
    """PYTHONPATH with which a process runs the code of a clone instead of the installed one."""
    return os.pathsep.join([str(clone / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])


def _listed(folder: Path) -> list[str]:
    """What Git tracks and what it would: files that are there and not ignored."""
    found = git.ask(*_LISTED, folder=folder)
    if found is None:
        raise ReflowbenchError(f"{folder}: not in a Git repository; launch in a clone of the project")
    names = [os.fsdecode(name) for name in found.split(b"\0") if name]
    return [name for name in names if not name.endswith("/") and os.path.lexists(folder / name)]


def _mirror(source: Path, names: Iterable[str], target: Path) -> None:
    """Copy files that differ by size, time or rights; with their times, by which DVC knows what it has hashed."""
    for name in names:
        old, new = source / name, target / name
        facts = old.lstat()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            there = new.lstat()
            if _facts(there) == _facts(facts) and not stat.S_ISLNK(facts.st_mode):
                continue
            if stat.S_ISDIR(there.st_mode):
                shutil.rmtree(new)
            else:
                new.unlink()
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(old, new, follow_symlinks=False)


def _differ(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() != other.read_bytes()
    except OSError:
        return True


def _facts(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_mode


def _link(path: Path, target: Path) -> None:
    if not path.is_symlink() and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


def _inputs(root: Path, copied: set[str]) -> Iterator[str]:
    """Paths in params.yaml, such as data.path, that lead to files of the checkout which Git ignores."""
    folders = {parent.as_posix() for name in copied for parent in Path(name).parents}
    for value in dict.fromkeys(_strings(read_yaml(root / PARAMS_FILE))):
        path = Path(value)
        if path.is_absolute() or ".." in path.parts or value in copied or path.as_posix() in folders | {"."}:
            continue
        with contextlib.suppress(OSError, ValueError):
            if (root / path).exists() and path.parts[0] not in (".git", ".dvc", SCRATCH.name):
                yield path.as_posix()


def _strings(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _strings(value)


def _cache_of(root: Path) -> Path:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            return Path(repo.cache.local_cache_dir).resolve()
    except DvcException as error:
        raise ReflowbenchError(f"{root}: {error}") from None


def _configure(source: Path, target: Path, cache: Path) -> None:
    """DVC's settings of this checkout alone, and its cache: with the outputs, it has the record of what gave them."""
    settings = configparser.RawConfigParser()
    settings.read(source, encoding="utf-8")
    if not settings.has_section("cache"):
        settings.add_section("cache")
    settings.set("cache", "dir", str(cache))
    with target.open("w", encoding="utf-8") as file:
        settings.write(file)


def _git(*arguments: str, folder: Path | None = None, check: bool = True) -> None:
    command: Sequence[str] = ("git", *arguments)
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if check and result.returncode:
        raise ReflowbenchError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
