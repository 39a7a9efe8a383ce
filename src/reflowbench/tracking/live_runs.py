"""Trainings as they went: a run that was shown live becomes that of its stage; one that came to nothing goes."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mlflow.entities import Metric, Run

from reflowbench.tracking.attempts import Attempt, LivePoint, read_points
from reflowbench.tracking.session import Session

LIVE_KEY = "live.run"
STAGE_TAG = "dvc.stage"
_STAGE_KEY = "dvc.stage_hash"


class LiveRuns:
    """The attempts of this machine and what the store has of them."""

    def __init__(self, session: Session, attempts: Sequence[Attempt], found: Sequence[Run] | None, done: set[str]):
        """Prepare.

        Args:
            session: The open store.
            attempts: Runs of stages on this machine.
            found: All runs of the experiment, if they have been searched.
            done: Attempts that are known to be in the runs of their stages.
        """
        self._session, self._attempts = session, attempts
        all_runs = found is not None
        self._known = {run.data.tags[LIVE_KEY]: run for run in found or [] if LIVE_KEY in run.data.tags}
        self._searched = {attempt.run for attempt in attempts} if all_runs else set(self._known)
        self._settled = set(done)

    def _find(self, attempt: Attempt) -> Run | None:
        """The run that an attempt was shown in, if there is one that belongs to no stage's entry yet."""
        if attempt.run not in self._searched:
            self._searched.add(attempt.run)
            for run in find(self._session, attempt.run):
                self._known[attempt.run] = run
        known = self._known.get(attempt.run)
        return None if known is None or _STAGE_KEY in known.data.tags else known

    def take(self, attempt: Attempt) -> Run | None:
        """Give the run that an attempt was shown in, to become that of its stage."""
        run = self._find(attempt)
        if run is not None:
            self._settled.add(attempt.run)
        return run

    def complete(self, run: Run, attempt: Attempt) -> None:
        """Log what an attempt alone knows: its journal, how long it took, and on what."""
        facts = dict(attempt.facts)
        tags = {LIVE_KEY: attempt.run}
        if "host" in facts:
            tags["run.host"] = str(facts["host"])
        if "hardware" in facts:
            tags["run.hardware"] = json.dumps(facts["hardware"], sort_keys=True)
        time = int(attempt.started * 1000)
        metrics = [
            Metric(f"run/{key}", float(facts[key]), time, 0) for key in ("seconds", "peak_bytes") if key in facts
        ]
        if attempt.journal:
            metrics += as_metrics(read_points(attempt.journal)[0])
        self._session.log(run.info.run_id, metrics, {}, tags)

    def close(self) -> None:
        """Settle all trainings that made no entry of this state.

        One that is running is left alone. One that failed stays to be looked at, with its whole journal, until its
        stage comes to its end; then it goes, as would an entry that dvc.lock has no longer.
        """
        client = self._session.client
        for attempt in self._attempts:
            if attempt.journal is None or attempt.alive or attempt.run in self._settled:
                continue
            run = self._find(attempt)
            if attempt.exit == 0 or attempt.superseded(self._attempts):
                if run is not None:
                    client.delete_run(run.info.run_id)
                continue
            status = "FAILED" if attempt.exit is not None and attempt.exit < 128 else "KILLED"
            if run is not None and run.info.status == status:
                continue
            run = run or show(self._session, attempt.run, attempt.stage)
            self.complete(run, attempt)
            client.set_terminated(run.info.run_id, status)


def find(session: Session, name: str) -> list[Run]:
    """Find the run in which a training is shown."""
    return session.search(f"tags.\"{LIVE_KEY}\" = '{name}'")


def show(session: Session, name: str, stage: str) -> Run:
    """Make the run in which a training is shown."""
    return session.client.create_run(session.experiment, tags={LIVE_KEY: name, STAGE_TAG: stage}, run_name=stage)


def as_metrics(points: Sequence[LivePoint]) -> list[Metric]:
    """Points with their own times, so that sending one twice adds nothing."""
    return [Metric(point.key, point.value, point.time, point.step) for point in points]
