"""Bring MLflow up to dvc.lock: one run per stage, one parent run per state of the pipeline.

Runs are found by hash tags, so that a sync adds only what is missing, whoever computed it: stages
that ran here, that DVC restored from its cache, or that came with a clone. A run is marked FINISHED
last; one that is found unfinished is from an interrupted sync and is completed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from reflowbench.tracking.lock import LOCK, read_lock, state_hash
from reflowbench.tracking.store import Store, find_workspace

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


@dataclass(frozen=True)
class SyncResult:
    """What a sync did.

    Attributes:
        state: Hash of the pipeline's state.
        stage_runs: Stages of the state, each of which has a run.
        created: Runs added, parent included.
        complete: Whether the results are logged too.
        store: Where it went.
    """

    state: str
    stage_runs: int
    created: int
    complete: bool
    store: str

    def __str__(self) -> str:
        """One line for people."""
        state = f"{self.stage_runs} stages (state {self.state[:8]})"
        text = f"MLflow: {self.created} new runs for {state} in {self.store}"
        wait = "; results wait: reports/ is not from this dvc.lock, run `dvc repro` or `dvc pull`"
        return text if self.complete else text + wait


def sync(workspace: Path | None = None) -> SyncResult:
    """Mirror dvc.lock and reports/ in MLflow. Running it twice adds nothing.

    Args:
        workspace: The folder of dvc.yaml; found from the current folder if None.

    Returns:
        What was done.

    Raises:
        ReflowbenchError: If dvc.lock or the reports are missing or damaged, or the store fails.
    """
    workspace = workspace or find_workspace()
    entries = read_lock(workspace / LOCK)
    store = Store.locate(workspace)
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    from reflowbench.tracking.mirror import Mirror, open_store  # imports MLflow

    with store.locked(), open_store(store) as (client, experiment):
        mirror = Mirror(workspace, entries, client, experiment)
        complete = mirror.run()
    state = state_hash(entries)
    if complete:
        store.remember(state)
    return SyncResult(state, len(entries), mirror.created, complete, store.name)


def sync_if_changed() -> str:
    """Mirror the state unless the last sync was of the same state to the same store.

    Delete `.scratch/track.json` to have the store itself looked at.

    Returns:
        One line that says what was done.

    Raises:
        ReflowbenchError: As `sync`.
    """
    workspace = find_workspace()
    state = state_hash(read_lock(workspace / LOCK))
    store = Store.locate(workspace)
    if store.holds(state):
        return f"MLflow is up to date (state {state[:8]}) in {store.name}"
    return str(sync(workspace))
