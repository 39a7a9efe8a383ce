"""The MLflow store as far as it can be known without importing MLflow: where it is, what it holds."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from reflowbench.core.artifacts import read_json, write_json
from reflowbench.core.errors import ReflowbenchError

URI_VARIABLE = "MLFLOW_TRACKING_URI"


def find_workspace(start: Path | None = None) -> Path:
    """Find the folder of dvc.yaml at or above a folder.

    Args:
        start: Where to begin; the current folder if None.

    Returns:
        The absolute path.

    Raises:
        ReflowbenchError: If there is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / ".dvc").is_dir() or (folder / "dvc.yaml").is_file():
            return folder
    raise ReflowbenchError(f"{start}: no dvc.yaml here or above; run this inside the repository")


@dataclass(frozen=True)
class Store:
    """A place that runs are mirrored to.

    Attributes:
        uri: MLflow's tracking URI.
        root: Folder of the local store and of scratch space.
    """

    uri: str
    root: Path

    @classmethod
    def locate(cls, workspace: Path) -> Store:
        """Find the store: that of MLFLOW_TRACKING_URI, else a SQLite file in the repository.

        DVC runs experiments in a temporary copy of the workspace and names the repository in
        DVC_ROOT; a store in the copy would be lost with it.
        """
        root = Path(os.environ.get("DVC_ROOT") or workspace).resolve()
        return cls(os.environ.get(URI_VARIABLE) or f"sqlite:///{root / 'mlflow.db'}", root)

    @property
    def name(self) -> str:
        """The URI as it may be shown."""
        return self.redact(self.uri)

    def redact(self, text: str) -> str:
        """Take the store's user and password out of a text."""
        login, at, _ = urlsplit(self.uri).netloc.rpartition("@")
        return text.replace(login + at, "")

    @property
    def scratch(self) -> Path:
        """Folder for what Git and DVC ignore."""
        return self.root / ".scratch"

    @property
    def _marker(self) -> Path:
        return self.scratch / "track.json"

    @property
    def database(self) -> Path | None:
        """The file of a SQLite store."""
        prefix = "sqlite:///"
        return Path(self.uri.removeprefix(prefix).partition("?")[0]) if self.uri.startswith(prefix) else None

    def holds(self, state: str) -> bool:
        """Say whether the last complete sync was of this state to this store, without opening it."""
        try:
            last = read_json(self._marker)
        except ReflowbenchError:
            return False  # it only saves time
        return bool(last == self._mark(state)) and (self.database is None or self.database.is_file())

    def remember(self, state: str) -> None:
        """Note that a sync was complete."""
        write_json(self._marker, self._mark(state))

    def _mark(self, state: str) -> dict[str, str]:
        return {"state": state, "store": self.name}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other syncs of this checkout out: two that make the SQLite schema at once break it."""
        path = self.scratch / "track.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed, also by a crash
            yield
