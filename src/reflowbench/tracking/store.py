"""The MLflow store as far as it can be known without importing MLflow: where it is, what it holds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from reflowbench.core.artifacts import read_json, write_json
from reflowbench.core.errors import ReflowbenchError

URI_VARIABLE = "MLFLOW_TRACKING_URI"
REACH_SECONDS = 3
# A dead server must cost seconds (MLflow's own defaults: minutes), and a mirror that is meant for
# the user alone must not report to others. Values that the user set go before these.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


class StoreError(ReflowbenchError):
    """The store cannot be reached or used."""


def set_environment(**changes: str) -> None:
    """Set what MLflow reads from the environment when it is imported.

    Args:
        changes: Values that go before ENVIRONMENT.
    """
    for variable, value in {**ENVIRONMENT, **changes}.items():
        os.environ.setdefault(variable, value)


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

        A login in the URI of a server is taken out of it and given to MLflow by the variables that are meant for it:
        errors of the libraries below quote URIs, each in its own spelling.
        """
        root = Path(os.environ.get("DVC_ROOT") or workspace).resolve()
        uri = os.environ.get(URI_VARIABLE) or f"sqlite:///{root / 'mlflow.db'}"
        scheme, separator, rest = uri.partition("://")
        login, at, place = rest.rpartition("@")
        if at and scheme in ("http", "https"):
            user, _, password = login.partition(":")
            os.environ.setdefault("MLFLOW_TRACKING_USERNAME", unquote(user))
            os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", unquote(password))
            uri = scheme + separator + place
        return cls(uri, root)

    @property
    def name(self) -> str:
        """The URI as it may be shown: without user, password and query."""
        if self.database:
            return self.uri
        scheme, separator, rest = self.uri.partition("://")
        return scheme + separator + rest.rpartition("@")[2].partition("?")[0]

    def redact(self, text: str) -> str:
        """Take the user and password of a database's URI out of a text, however they are spelled."""
        login, at, place = self.uri.partition("://")[2].rpartition("@")
        query = parse_qsl(place.partition("?")[2])
        secrets = {login.partition(":")[2], os.environ.get("MLFLOW_TRACKING_PASSWORD", "")}
        secrets |= {value for key, value in query if "pass" in key or "token" in key}
        spellings = {form for s in secrets for form in (s, unquote(s), quote(unquote(s), safe=""), quote(unquote(s)))}
        text = text.replace(login + at, "")
        for secret in sorted(filter(None, spellings), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def _reach(self) -> None:
        """Knock at a server, before MLflow does: it takes 2 s to import, and tries again for minutes.

        Raises:
            OSError: If nobody answers within REACH_SECONDS.
        """
        parts = urlsplit(self.uri)
        if parts.scheme in ("http", "https"):
            import requests

            with contextlib.suppress(requests.exceptions.SSLError):  # MLflow may have been told to trust it; a guess
                requests.head(self.uri, timeout=REACH_SECONDS, allow_redirects=False)  # any answer will do
            return
        try:
            port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        except ValueError:  # its text is a part of the password
            raise OSError("its address cannot be read; spell odd characters of the password as %XX") from None
        if parts.hostname and port:
            with socket.create_connection((parts.hostname, port), timeout=REACH_SECONDS):
                pass

    def reach_or_fail(self) -> None:
        """Knock at a server.

        Raises:
            StoreError: If nobody answers.
        """
        try:
            self._reach()
        except OSError as error:
            raise self.failure(error) from None

    def failure(self, error: BaseException) -> StoreError:
        """Say in one line that the store failed, what is not lost, and what to do."""
        reason = " ".join(self.redact(str(error)).split())[:300]
        return StoreError(
            f"MLflow store {self.name} failed ({reason}). No result is lost: dvc.lock and reports/ hold them all, "
            f"telemetry is in .scratch/, and `reflowbench track` goes on from here. Check that the store is up and "
            f"that {URI_VARIABLE} is right; without that variable a local SQLite store is used"
        )

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

    def holds(self, mark: Mapping[str, object]) -> bool:
        """Say whether the last complete sync was of the same to this store, without opening it."""
        try:
            last = read_json(self._marker)
        except ReflowbenchError:
            return False  # it only saves time
        return bool(last == self._mark(mark)) and (self.database is None or self.database.is_file())

    def remember(self, mark: Mapping[str, object]) -> None:
        """Note that a sync was complete, and of what."""
        write_json(self._marker, self._mark(mark))

    def _mark(self, mark: Mapping[str, object]) -> dict[str, object]:
        return {**mark, "store": self.name}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others out: two that make the schema of one SQLite file at once break it.

        The lock lies beside the file, which several checkouts may share. Syncs with a server are kept apart for each
        checkout only.
        """
        path = self.database.with_name(f"{self.database.name}-lock") if self.database else self.scratch / "track.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed, also by a crash
            yield
