"""Runs in the MLflow store. Importing this imports MLflow, which takes 2 s."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Run

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import read_json
from reflowbench.tracking import artifacts, records
from reflowbench.tracking.attempts import Attempt, attempt_at
from reflowbench.tracking.contents import Files
from reflowbench.tracking.live_runs import LIVE_KEY, LiveRuns
from reflowbench.tracking.lock import Entry, producers, stage_hash
from reflowbench.tracking.records import Point
from reflowbench.tracking.results import EVALUATIONS, SUMMARY, Results, dated, promote, read_evaluation
from reflowbench.tracking.session import Session
from reflowbench.tracking.state import State

STAGE_KEY = "dvc.stage_hash"
STATE_KEY = "dvc.state_hash"
PARENT = "mlflow.parentRunId"
FINISHED = "FINISHED"
WAITING = "SCHEDULED"
"""Status of what lacks its numbers because they are not on this machine, or reports/ is not of this dvc.lock."""

TRAINING = "runs/training/"
DATA = "runs/"
LONGEST_TAG = 8000
ABANDONED = 3_600_000
"""Milliseconds after which a second run for a hash that is not whole is taken for that of a sync that failed."""


class Mirror:
    """One sync of one state of the pipeline.

    Attributes:
        created: Runs added so far, parent included.
        runs: Run of each stage, by name.
        unreadable: Stages whose numbers another version of this code wrote.
    """

    def __init__(self, session: Session, state: State, attempts: Sequence[Attempt]) -> None:
        """Look up which runs there are.

        Args:
            session: The open store.
            state: What is mirrored.
            attempts: Runs of stages on this machine.
        """
        self._session, self._client, self._state = session, session.client, state
        self._attempts = attempts
        self._profile = records.profile(state.entries)
        self._before = producers(state.entries)
        self._makers = {out["path"]: name for name, entry in state.entries.items() for out in entry.get("outs", [])}
        self.created = self.unreadable = 0
        self.runs: dict[str, Run] = {}
        found = session.search()  # all at once: a search for each stage would take seconds
        self._live = LiveRuns(session, attempts, found)
        self._known = self._by_hash(found)

    def _by_hash(self, found: Sequence[Run]) -> dict[str, Run]:
        """Find runs by their hash; of several, which syncs at the same time may make, keep the first that is whole."""
        known: dict[str, Run] = {}
        old = time.time() * 1000 - ABANDONED
        for run in sorted(found, key=lambda r: (r.info.status != FINISHED, r.info.start_time, r.info.run_id)):
            key = run.data.tags.get(STAGE_KEY) or run.data.tags.get(STATE_KEY)
            if not key or known.setdefault(key, run) is run or known[key].info.status != FINISHED:
                continue
            if run.info.status == FINISHED or run.info.start_time < old:  # else it may be what a sync works on now
                self._client.delete_run(run.info.run_id)
        return known

    def run(self) -> bool:
        """Log what is missing.

        Returns:
            Whether the state is mirrored whole.
        """
        state = self._state
        parent = self._known.get(state.hash)
        if parent is None:
            tags = {STATE_KEY: state.hash, "profile": self._profile, **state.tags}
            parent = self._create(f"pipeline {self._profile} {state.hash[:8]}", tags)
        elif parent.data.tags.get("git.dirty") != "false" and state.tags.get("git.dirty") == "false":
            self._session.log(parent.info.run_id, [], {}, state.tags)  # committed since
        whole = [self._stage(name, parent) for name in self._in_order()]
        complete = parent.info.status == FINISHED or self._complete(parent, whole)
        if complete and state.checked_out:
            promote(self._session, f"reflowbench-{self._profile}", parent)
        self._live.close()
        return complete

    def _complete(self, parent: Run, whole: Sequence[bool]) -> bool:
        """Mirror the results if they are all there."""
        if self._session.shared and self.created:  # somebody may have added the same run in the meantime
            self._known = self._by_hash(self._session.search())
            self.runs = {name: self._known[stage_hash(name, self._state.entries[name])] for name in self.runs}
        results = Results(self._session, self._state, self._profile, self.runs)
        complete = all(whole) and results.are_of_this_state() and results.register()
        if complete:
            results.log(parent)
        self._close(parent, FINISHED if complete else WAITING)
        return complete

    def _in_order(self) -> list[str]:
        """Stages, each after those whose outputs it read."""
        try:
            return list(TopologicalSorter(self._before).static_order())
        except CycleError as error:
            raise ReflowbenchError(
                f"dvc.lock: stages depend on each other ({' -> '.join(error.args[1])}); delete the entries of stages "
                "that dvc.yaml no longer has"
            ) from None

    def _stage(self, name: str, parent: Run) -> bool:
        """Mirror a stage; say whether it has all that it made."""
        entry = self._state.entries[name]
        key = stage_hash(name, entry)
        run = self._known.get(key)
        attempt = attempt_at(name, entry, self._attempts)
        if run and run.info.status == FINISHED:
            self.runs[name] = run
            if attempt and LIVE_KEY not in run.data.tags:  # somebody else was faster, who knows less of it
                self._live.complete(run, attempt)
            return True
        outputs = artifacts.shown_files(entry, self._state.contents)
        if run and run.info.status == WAITING and outputs is None:
            self.runs[name] = run
            return False
        tags = {
            STAGE_KEY: key,
            PARENT: parent.info.run_id,
            **records.stage_tags(name, entry, self._profile),
        }
        parents = [{"stage": before, "run_id": self.runs[before].info.run_id} for before in self._before[name]]
        ids = ",".join(before["run_id"] for before in parents)
        if ids and len(ids) <= LONGEST_TAG:  # all of them are in lineage.json
            tags["dvc.parents"] = ids
        if run is None:
            run = (self._live.take(attempt) if attempt else None) or self._create(name, tags, attempt)
        self.runs[name] = run
        metrics = self._metrics(run, entry, outputs)
        self._session.log(run.info.run_id, metrics or [], records.stage_params(entry), tags)
        if datasets := self._datasets(entry):
            self._session.log_inputs(run.info.run_id, datasets)
        with tempfile.TemporaryDirectory() as folder:
            artifacts.write_origin(Path(folder), name, entry, parents)
            artifacts.gather(Path(folder), outputs or {})
            self._client.log_artifacts(run.info.run_id, folder)
        if attempt:
            self._live.complete(run, attempt)
        whole = outputs is not None and metrics is not None
        self._close(run, FINISHED if whole else WAITING, attempt)
        return whole

    def _metrics(self, run: Run, entry: Entry, outputs: Mapping[str, Files] | None) -> list[Metric] | None:
        """Read the numbers that a stage gave; None if another version of this code wrote them."""
        try:
            return dated(run, self._points(entry, outputs))
        except (ReflowbenchError, KeyError, ValueError, IndexError):
            self.unreadable += 1
            return None

    def _points(self, entry: Entry, outputs: Mapping[str, Files] | None) -> list[Point]:
        points: list[Point] = []
        for path, files in (outputs or {}).items():
            if path.startswith(TRAINING):
                points += records.curve_points(files["curves.csv"])
            elif path.startswith(EVALUATIONS):
                points += records.evaluation_points(read_evaluation(entry, files, self._profile))
            elif path == SUMMARY:
                points += records.summary_points(read_json(files["summary.json"], seal=False))
        return points

    def _datasets(self, entry: Entry) -> list[DatasetInput]:
        """What a stage read, by DVC's hash."""
        found = []
        for item in entry.get("deps", []):
            if not item["path"].startswith((DATA, artifacts.REPORTS)):
                continue
            maker = self._makers.get(item["path"])
            source = {"path": item["path"], "md5": item.get("md5"), "size": item.get("size"), "stage": maker}
            dataset = Dataset(
                name=item["path"], digest=str(item.get("md5")), source_type="dvc", source=json.dumps(source)
            )
            role = (maker or "several stages").partition("@")[0]
            found.append(DatasetInput(dataset, [InputTag("mlflow.data.context", role)]))
        return found

    def _create(self, name: str, tags: dict[str, str], attempt: Attempt | None = None) -> Run:
        self.created += 1
        started = int(attempt.started * 1000) if attempt and attempt.started else None
        return self._client.create_run(self._session.experiment, start_time=started, tags=tags, run_name=name)

    def _close(self, run: Run, status: str, attempt: Attempt | None = None) -> None:
        if status == FINISHED:
            seconds = attempt.facts.get("seconds") if attempt else None
            ended = int((attempt.started + seconds) * 1000) if attempt and attempt.started and seconds else None
            self._client.set_terminated(run.info.run_id, status, ended)
        else:
            self._client.update_run(run.info.run_id, status)
