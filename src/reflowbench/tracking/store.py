"""The MLflow store as far as it can be known without importing MLflow: where it is, what it holds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import read_json, write_json

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
_SQLITE = "sqlite:///"
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


def _taken_apart(uri: str) -> tuple[str, str, str]:
    """Scheme, login and all the rest of a URI, also where odd characters of the password are not spelled as %XX."""
    scheme, _, rest = uri.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        login = authority.rpartition("@")[0]
    elif re.fullmatch(r"[^:]*(:\d*)?", authority):
        login = ""  # a host, and a port
    else:
        login = rest.rpartition("@")[0]  # cut off within the password
    return scheme, login, rest[len(login) :].removeprefix("@")


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

        Returns:
            The store, which need not answer.
        """
        root = Path(os.environ.get("DVC_ROOT") or workspace).resolve()
        uri = os.environ.get(URI_VARIABLE) or "sqlite:///mlflow.db"
        if uri.startswith(_SQLITE):
            return cls(f"{_SQLITE}{root / uri.removeprefix(_SQLITE)}", root)
        scheme, login, place = _taken_apart(uri)
        if login and scheme in ("http", "https"):
            user, _, password = login.partition(":")
            if not {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} & set(os.environ):
                os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
                os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
            uri = f"{scheme}://{place}"
        return cls(uri, root)

    @property
    def name(self) -> str:
        """The URI as it may be shown: without user, password and query."""
        if self.database:
            return self.uri
        scheme, _, place = _taken_apart(self.uri)
        return f"{scheme}://{place.partition('?')[0]}"

    def redact(self, text: str) -> str:
        """Take logins, passwords and the query of the store's URI out of a text, however they are spelled."""
        _, login, place = _taken_apart(self.uri)
        secrets = {login.partition(":")[2], place.partition("?")[2]}
        secrets |= {value for _, value in parse_qsl(place.partition("?")[2]) if len(value) > 2}
        secrets |= {os.environ.get(name, "") for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")}
        spellings = {form for s in secrets for form in (s, unquote(s), quote(unquote(s), safe=""), quote(unquote(s)))}
        if login:
            text = text.replace(f"{login}@", "")
        for secret in sorted(filter(None, spellings), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def _reach(self) -> None:
        """Knock at a server, before MLflow does: it takes 2 s to import, and tries again for minutes.

        Raises:
            OSError: If nobody answers within REACH_SECONDS.
        """
        if self.database:
            return
        try:
            parts = urlsplit(self.uri)
            port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        except ValueError:  # its text may be a part of the password
            raise OSError("its address cannot be read; spell odd characters of the password as %XX") from None
        if parts.scheme in ("http", "https"):
            import requests

            with contextlib.suppress(requests.exceptions.SSLError):  # MLflow may have been told to trust it; a guess
                requests.head(self.uri, timeout=REACH_SECONDS, allow_redirects=False)  # any answer will do
        elif parts.hostname and port:
            with socket.create_connection((parts.hostname, port), timeout=REACH_SECONDS):
                pass

    def reach_or_fail(self) -> None:
        """Knock at a server.

        Raises:
            StoreError: If nobody answers.
        """
        try:
            self._reach()
        except (OSError, ValueError) as error:
            raise self.failure(error) from None

    def failure(self, error: BaseException) -> StoreError:
        """Say in one line that the store failed, what is not lost, and what to do."""
        reason = " ".join(self.redact(str(error) or type(error).__name__).split())[:300]
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
        return Path(self.uri.removeprefix(_SQLITE).partition("?")[0]) if self.uri.startswith(_SQLITE) else None

    def holds(self, mark: Mapping[str, object]) -> bool:
        """Say whether the last complete sync was of the same to this file, which still has it; never of a server."""
        if self.database is None:
            return False  # nothing but asking it tells
        with contextlib.suppress(ReflowbenchError, sqlite3.Error):  # it only saves time
            query = "SELECT 1 FROM tags WHERE key = 'dvc.state_hash' AND value = ?"
            if read_json(self._marker) == self._mark(mark) and self.database.is_file():
                with contextlib.closing(sqlite3.connect(self.database)) as connection:
                    return connection.execute(query, (mark["state"],)).fetchone() is not None
        return False

    def remember(self, mark: Mapping[str, object]) -> None:
        """Note that a sync was complete, and of what."""
        with contextlib.suppress(OSError, ReflowbenchError):
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
