"""The data that dvc.lock names, found by its hash, wherever it is: in the workspace, in Git, in DVC's cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from reflowbench.runtime.artifacts import content_hash

Item = Mapping[str, Any]
"""An entry below `deps` or `outs` of a stage in dvc.lock."""

Files = dict[str, Path]
"""Where to read the files of an output, by their path in it; a file alone has its own name."""


class Contents:
    """Data by hash: what is not of the hash that is asked for, is never given."""

    def __init__(self, workspace: Path, roots: Sequence[Path]) -> None:
        """Prepare.

        Args:
            workspace: The folder of dvc.yaml, whose cache is searched last.
            roots: Folders to look in first, under the paths of dvc.lock.
        """
        self._workspace, self._roots = workspace, roots
        self._hashes: dict[Path, str | None] = {}

    def files(self, item: Item, wanted: Callable[[str], bool] = lambda name: True) -> Files | None:
        """Find the files of an output or a dependency.

        Args:
            item: The entry of dvc.lock.
            wanted: Which files of a folder to give, by their path in it.

        Returns:
            The files, or None if the data is not on this machine (`dvc pull` may bring it).
        """
        for root in self._roots:
            path = root / item["path"]
            if self._hash(path) == item.get("md5"):
                if path.is_file():
                    return {path.name: path} if wanted(path.name) else {}
                found = {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}
                return {name: file for name, file in found.items() if wanted(name)}
        return self._cached(item, wanted)

    def copy(self, item: Item, target: Path) -> bool:
        """Copy an output to a place of its own, for readers that want a path.

        Args:
            item: The entry of dvc.lock.
            target: The file or folder to make.

        Returns:
            Whether the data is on this machine.
        """
        files = self.files(item)
        for name, file in (files or {}).items():
            path = target / name if str(item.get("md5")).endswith(".dir") else target
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, path)
        return files is not None

    def _cached(self, item: Item, wanted: Callable[[str], bool]) -> Files | None:
        md5 = str(item.get("md5"))
        own = Path(item["path"]).name
        hashes = {own: md5}
        if md5.endswith(".dir"):
            listing = self._object(md5)
            if listing is None:
                return None
            hashes = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
        files = {name: self._object(found) for name, found in sorted(hashes.items()) if wanted(name)}
        return None if None in files.values() else {name: path for name, path in files.items() if path}

    def _object(self, md5: str) -> Path | None:
        """A file of the cache, if it is there and has not been damaged."""
        if self._cache is None:
            return None
        path = Path(self._cache.oid_to_path(md5))
        return path if self._hash(path) == md5.removesuffix(".dir") else None

    def _hash(self, path: Path) -> str | None:
        if path not in self._hashes:
            self._hashes[path] = content_hash(path)
        return self._hashes[path]

    @cached_property
    def _cache(self) -> Any:
        from dvc.exceptions import NotDvcRepoError
        from dvc.repo import Repo  # takes a second, and is often not needed

        try:
            return Repo(str(self._workspace)).cache.local
        except NotDvcRepoError:
            return None
