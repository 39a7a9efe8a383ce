"""The MLflow store, open. Importing this imports MLflow, which takes 2 s."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import atomic
from reflowbench.tracking.store import Store, StoreError

EXPERIMENT = "reflowbench"
METRICS = 800  # with as many parameters and tags as go into one call, below MLflow's limit of 1000
PARAMS = 100
PAGE = 1000  # runs that a search returns at once
TRIES = 5


@dataclass(frozen=True)
class Session:
    """An open store.

    Attributes:
        client: MLflow's client.
        experiment: Id of the experiment.
        shared: Whether others may write at the same time: a file has a lock, a server has none.
    """

    client: MlflowClient
    experiment: str
    shared: bool

    def search(self, condition: str = "") -> list[Run]:
        """Find the experiment's runs, all pages of them."""
        found: list[Run] = []
        token: str | None = None
        while token is None or token:
            page = self.client.search_runs([self.experiment], condition, max_results=PAGE, page_token=token)
            found += page
            token = page.token or ""
        return found

    def log(
        self, run_id: str, metrics: Sequence[Metric], params: Mapping[str, str], tags: Mapping[str, str] | None = None
    ) -> None:
        """Log in as few calls as the store takes. What it has already is not added again."""
        values, marks = [Param(k, v) for k, v in params.items()], [RunTag(k, v) for k, v in (tags or {}).items()]
        while metrics or values or marks:
            self.client.log_batch(run_id, metrics=metrics[:METRICS], params=values[:PARAMS], tags=marks[:PARAMS])
            metrics, values, marks = metrics[METRICS:], values[PARAMS:], marks[PARAMS:]

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetInput]) -> None:
        """Log what a run read. What it has already is not added again."""
        for left in reversed(range(TRIES)):
            try:
                return self.client.log_inputs(run_id, list(datasets))
            except MlflowException as error:
                # Another sync added the same data set between the server's look and its write: it is there now.
                if not (self.shared and left and error.error_code == "BAD_REQUEST"):
                    raise
        return None


@contextlib.contextmanager
def open_store(store: Store, *, alone: bool) -> Iterator[Session]:
    """Open a store, making its schema and the experiment if need be.

    Args:
        store: The store.
        alone: Whether to keep others out.

    Yields:
        The session.

    Raises:
        StoreError: If the store cannot be reached or used, then or while it is open.
    """
    try:
        new = store.database is not None and not store.database.exists()
        with store.locked() if alone or new else contextlib.nullcontext():
            if store.database and not store.database.exists():
                make_database(store.database)
            _try_database(store)
            client = MlflowClient(tracking_uri=store.uri)
            yield Session(client, _experiment(client, store), shared=store.database is None)
    except ReflowbenchError:
        raise
    except Exception as error:  # whatever a driver, a proxy or a store of artifacts may raise
        raise store.failure(error) from None  # its traceback may hold what `failure` takes out


def _try_database(store: Store) -> None:
    """Connect to a database once: MLflow would try for two minutes where it is refused."""
    if store.database is None and not store.uri.startswith(("http://", "https://")):
        engine = create_engine(store.uri, poolclass=NullPool)
        with engine.connect():
            pass


def make_database(path: Path) -> None:
    """Make a SQLite store, whole or not at all: MLflow takes 5 s for it and cannot mend a half-made one.

    Args:
        path: The file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        MlflowClient(tracking_uri=f"sqlite:///{draft}").search_experiments(max_results=1)
        with (
            atomic(path) as temporary,
            contextlib.closing(sqlite3.connect(draft)) as source,
            contextlib.closing(sqlite3.connect(temporary)) as target,
        ):
            source.backup(target)


def _experiment(client: MlflowClient, store: Store) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        # A server knows where its artifacts go; SQLite's default is a folder of the current directory.
        artifacts = (store.database.parent / "mlartifacts").absolute().as_uri() if store.database else None
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
        except MlflowException:
            experiment = client.get_experiment_by_name(EXPERIMENT)  # somebody else was faster
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        restore = f"mlflow experiments restore -x {experiment.experiment_id}"
        raise StoreError(f"MLflow store {store.name}: experiment {EXPERIMENT} was deleted; `{restore}` brings it back")
    return str(experiment.experiment_id)
