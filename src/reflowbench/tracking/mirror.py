"""Runs in the MLflow store. Importing this imports MLflow, which takes 2 s."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from reflowbench.core.artifacts import atomic, read_json
from reflowbench.core.errors import ReflowbenchError
from reflowbench.tracking import records
from reflowbench.tracking.lock import Entry, reports_match, stage_hash, state_hash
from reflowbench.tracking.records import Point
from reflowbench.tracking.store import URI_VARIABLE, Store

EXPERIMENT = "reflowbench"
STAGE_KEY = "dvc.stage_hash"
STATE_KEY = "dvc.state_hash"
FINISHED = "FINISHED"
WAITING = "SCHEDULED"
"""Status of what lacks its numbers because reports/ is not from this dvc.lock yet."""

TABLES = {"results": "tables/results.json", "stages": "stages.json"}
BATCH = 100  # MLflow takes at most 100 parameters a call
PAGE = 1000  # runs a search returns at once


@contextlib.contextmanager
def open_store(store: Store) -> Iterator[tuple[MlflowClient, str]]:
    """Open a store, making its schema and the experiment if need be.

    Args:
        store: The store.

    Yields:
        The client and the id of the experiment.

    Raises:
        ReflowbenchError: If the store cannot be reached or used, then or while it is open.
    """
    try:
        if store.database and not store.database.exists():
            make_database(store.database, store.scratch)
        if store.uri.startswith("http"):
            # MLflow would try again for 40 s if nobody answers. Any answer will do here.
            timeout = MLFLOW_HTTP_REQUEST_TIMEOUT.get()  # type: ignore[no-untyped-call]
            with contextlib.suppress(requests.exceptions.SSLError):
                requests.head(store.uri, timeout=timeout)
        client = MlflowClient(tracking_uri=store.uri)
        yield client, _experiment(client, store)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = " ".join(store.redact(str(error)).split())[:300]
        raise ReflowbenchError(
            f"MLflow store {store.name} failed ({reason}). No result is lost: dvc.lock and reports/ hold "
            f"them all, and `reflowbench track` goes on from here. Check that the store is up and that "
            f"{URI_VARIABLE} is right; without that variable a local SQLite store is used"
        ) from error


def make_database(path: Path, scratch: Path) -> None:
    """Make a SQLite store, whole or not at all: MLflow takes 5 s for it and cannot mend a half-made one.

    Args:
        path: The file.
        scratch: Folder for the draft.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
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
        artifacts = (store.root / "mlartifacts").as_uri() if store.database else None
        return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
    if experiment.lifecycle_stage != "active":
        raise ReflowbenchError(
            f"MLflow store {store.name}: experiment {EXPERIMENT} was deleted; "
            f"`mlflow experiments restore -x {experiment.experiment_id}` brings it back"
        )
    return str(experiment.experiment_id)


class Mirror:
    """One sync of one state of the pipeline.

    Attributes:
        created: Runs added so far, parent included.
    """

    def __init__(self, workspace: Path, entries: Mapping[str, Entry], client: MlflowClient, experiment: str):
        """Look up which runs there are.

        Args:
            workspace: The folder of dvc.yaml.
            entries: Its lock entries.
            client: The open store.
            experiment: Id of the experiment.
        """
        self.workspace = workspace
        self.entries = entries
        self.client = client
        self.experiment = experiment
        self.profile = records.profile(entries)
        self.created = 0
        self.known = self._search()

    @cached_property
    def rows(self) -> list[records.Row]:
        """results.csv, or nothing if it belongs to another state."""
        current = reports_match(self.workspace, self.entries)
        return records.read_results(self.workspace / "reports" / "results.csv") if current else []

    def _search(self) -> dict[str, Run]:
        """Find the experiment's runs by their hash, in one search: one per stage would take seconds."""
        known: dict[str, Run] = {}
        token: str | None = None
        while token is None or token:
            page = self.client.search_runs([self.experiment], max_results=PAGE, page_token=token)
            for run in page:
                key = run.data.tags.get(STAGE_KEY) or run.data.tags.get(STATE_KEY)
                if key and (key not in known or run.info.status == FINISHED):
                    known[key] = run
            token = page.token or ""
        return known

    def run(self) -> bool:
        """Log what is missing.

        Returns:
            Whether the state is mirrored whole.
        """
        state = state_hash(self.entries)
        parent = self.known.get(state)
        if parent and parent.info.status == FINISHED:
            return True
        if parent and parent.info.status == WAITING and not self.rows:
            return False
        parent = parent or self._create(
            f"pipeline {self.profile} {state[:8]}",
            {STATE_KEY: state, "profile": self.profile, **_git_tags(self.workspace)},
        )
        stages = [[name, *self._stage(name, entry, parent)] for name, entry in self.entries.items()]
        self._table(parent, "stages", {"columns": ["stage", "hash", "run_id"], "data": stages})
        if self.rows:
            self._reports(parent)
        self._close(parent, FINISHED if self.rows else WAITING)
        return bool(self.rows)

    def _stage(self, name: str, entry: Entry, parent: Run) -> tuple[str, str]:
        """Mirror a stage.

        Returns:
            Its hash and the id of its run.
        """
        key = stage_hash(name, entry)
        run = self.known.get(key)
        if run and run.info.status == FINISHED:
            return key, run.info.run_id
        evaluated = name.startswith(records.EVALUATIONS)
        points = records.evaluation_points(entry, self.rows) if evaluated else []
        # A cell of a grid that has since shrunk stays in dvc.lock, but not in the results.
        waits = evaluated and not points
        if run and run.info.status == WAITING and waits:
            return key, run.info.run_id
        run = run or self._create(
            name,
            {
                STAGE_KEY: key,
                "mlflow.parentRunId": parent.info.run_id,
                **records.stage_tags(name, entry, self.profile),
            },
        )
        self._log(run, points, records.stage_params(entry))
        self.client.log_dict(run.info.run_id, {"stage": name, **entry}, "lock_entry.json")
        self._close(run, WAITING if waits else FINISHED)
        return key, run.info.run_id

    def _reports(self, parent: Run) -> None:
        reports = self.workspace / "reports"
        summary = read_json(reports / "summary.json")
        self._log(parent, [*records.summary_points(summary), *records.trend_points(self.rows)], {})
        self._table(parent, "results", records.results_table(self.rows))
        self.client.log_artifacts(parent.info.run_id, str(reports), "reports")
        # By this tag MLflow's page and `load_table` know which files are tables.
        tables = json.dumps([{"path": path, "type": "table"} for path in TABLES.values()])
        self.client.set_tag(parent.info.run_id, "mlflow.loggedArtifacts", tables)

    def _create(self, name: str, tags: dict[str, str]) -> Run:
        self.created += 1
        return self.client.create_run(self.experiment, tags=tags, run_name=name)

    def _close(self, run: Run, status: str) -> None:
        if status == FINISHED:
            self.client.set_terminated(run.info.run_id, status)
        else:
            self.client.update_run(run.info.run_id, status)

    def _log(self, run: Run, points: Sequence[Point], params: Mapping[str, str]) -> None:
        # Points are dated to the run's start: the store drops a point that it has with the same time,
        # so that completing an interrupted run repeats none.
        time = run.info.start_time
        metrics = [Metric(point.key, point.value, time, point.step) for point in points]
        values = [Param(key, value) for key, value in params.items()]
        for i in range(0, max(len(metrics), len(values)), BATCH):
            self.client.log_batch(run.info.run_id, metrics=metrics[i : i + BATCH], params=values[i : i + BATCH])

    def _table(self, run: Run, name: str, table: dict[str, Any]) -> None:
        """Write a table like `log_table`, but with all digits and over a file that is there, not after it."""
        self.client.log_text(run.info.run_id, json.dumps(table), TABLES[name])


def _git_tags(workspace: Path) -> dict[str, str]:
    """Say which commit is checked out, if the workspace is in a Git repository."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=workspace, capture_output=True, text=True, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return {}
    branch, changes = git("rev-parse", "--abbrev-ref", "HEAD"), git("status", "--porcelain")
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": branch or records.UNKNOWN,
        "git.dirty": str(bool(changes)).lower(),
    }
