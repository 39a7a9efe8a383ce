"""Bring MLflow up to dvc.lock: one run per stage, one parent run per state of the pipeline.

Runs are found by hash tags, so that a sync adds only what is missing, whoever computed it: stages
that ran here, that DVC restored from its cache, or that came with a clone. A run is marked FINISHED
last; one that is found unfinished is from an interrupted sync and is completed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reflowbench.runtime import sidecar
from reflowbench.tracking.attempts import Attempt, read_attempts
from reflowbench.tracking.live import settle
from reflowbench.tracking.state import State, open_state
from reflowbench.tracking.store import Store, find_workspace, set_environment


@dataclass(frozen=True)
class SyncResult:
    """What a sync did.

    Attributes:
        state: Hash of the pipeline's state.
        stage_runs: Stages of the state, each of which has a run.
        created: Runs added, parent included.
        complete: Whether all that the stages made is logged too.
        store: Where it went.
        unreadable: Outputs of another version of this code, whose numbers it cannot read.
    """

    state: str
    stage_runs: int
    created: int
    complete: bool
    store: str
    unreadable: int = 0

    def __str__(self) -> str:
        """One line for people."""
        state = f"{self.stage_runs} stages (state {self.state[:8]})"
        text = f"MLflow: {self.created} new runs for {state} in {self.store}"
        wait = (
            "; results wait: outputs are not here, or reports/ is not from this dvc.lock, or that has stages which "
            "dvc.yaml no longer has (of another profile, say): run `make repro` or `dvc pull`"
        )
        if self.unreadable:
            return f"{text}; numbers of {self.unreadable} stages were written by another version, which may mirror them"
        return text if self.complete else text + wait


def sync(workspace: Path | None = None, revision: str | None = None) -> SyncResult:
    """Mirror dvc.lock and what its stages made in MLflow. Running it twice adds nothing.

    Args:
        workspace: The folder of dvc.yaml; found from the current folder if None.
        revision: A branch, tag, commit or DVC experiment; the working tree if None.

    Returns:
        What was done.

    Raises:
        ReflowbenchError: If dvc.lock or the reports are missing or damaged.
        StoreError: If the store fails.
    """
    workspace = workspace or find_workspace()
    with open_state(workspace, revision) as state:
        return _sync(workspace, state)


def sync_if_changed(revision: str | None = None) -> str:
    """Mirror the state unless the last sync was of the same state to the same store.

    Delete `.scratch/track.json` to have the store itself looked at.

    Args:
        revision: As for `sync`.

    Returns:
        One line that says what was done.

    Raises:
        ReflowbenchError: As `sync`.
    """
    workspace = find_workspace()
    with open_state(workspace, revision) as state:
        store = Store.locate(workspace)
        if store.holds(_mark(state, read_attempts(store.scratch))):
            return f"MLflow is up to date (state {state.hash[:8]}) in {store.name}"
        return str(_sync(workspace, state))


def _sync(workspace: Path, state: State) -> SyncResult:
    store = Store.locate(workspace)
    store.reach_or_fail()
    set_environment()
    settle(store.scratch / sidecar.LIVE)
    attempts = read_attempts(store.scratch)
    from reflowbench.tracking.mirror import Mirror  # imports MLflow
    from reflowbench.tracking.session import open_store

    with open_store(store, alone=True) as session:
        mirror = Mirror(session, state, attempts)
        complete = mirror.run()
    if complete:
        store.remember(_mark(state, attempts))
    return SyncResult(state.hash, len(state.entries), mirror.created, complete, store.name, mirror.unreadable)


def _mark(state: State, attempts: Sequence[Attempt]) -> dict[str, object]:
    """What a sync depends on: trainings that failed are in no dvc.lock."""
    journals = sorted(attempt.run for attempt in attempts if attempt.journal and not attempt.alive)
    return {"state": state.hash, "git": state.tags, "journals": journals, "working_tree": state.checked_out}
