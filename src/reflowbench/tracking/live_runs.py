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

    def __init__(self, session: Session, attempts: Sequence[Attempt], found: Sequence[Run]) -> None:
        """Prepare.

        Args:
            session: The open store.
            attempts: Runs of stages on this machine.
            found: All runs of the experiment.
        """
        self._session, self._attempts = session, attempts
        own = {run.data.tags.get(LIVE_KEY): run for run in found if _STAGE_KEY not in run.data.tags}
        self._known = {name: run for name, run in own.items() if name}
        self._settled = {run.data.tags[LIVE_KEY] for run in found if {LIVE_KEY, _STAGE_KEY} <= set(run.data.tags)}

    def take(self, attempt: Attempt) -> Run | None:
        """Give the run that an attempt was shown in, to become that of its stage."""
        run = self._known.get(attempt.run)
        if run is not None:
            self._settled.add(attempt.run)
        return run

    def complete(self, run: Run, attempt: Attempt) -> None:
        """Log what an attempt alone knows: its journal, how long it took, and on what. The tag comes last."""
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
        self._session.log(run.info.run_id, metrics, {})
        self._session.log(run.info.run_id, [], {}, tags)

    def close(self) -> None:
        """Settle all trainings that made no entry of this state.

        One that is running is left alone. One that failed stays to be looked at, with its whole journal, until its
        stage comes to its end; then it goes, as would an entry that dvc.lock has no longer.
        """
        client = self._session.client
        for attempt in self._attempts:
            if attempt.journal is None or attempt.alive or attempt.run in self._settled:
                continue
            run = self._known.get(attempt.run)
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
