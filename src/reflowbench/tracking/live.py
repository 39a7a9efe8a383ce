"""The live view: a process of its own that sends a training's journal to MLflow while it is written.

The journal is the truth: whatever happens to this process or to the store, the next sync sends what is missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from reflowbench.tracking.attempts import is_alive, plots_of, read_attempts, read_points
from reflowbench.tracking.store import Store, StoreError, find_workspace, set_environment

INTERVAL = 5.0
"""Seconds between two looks at the journal."""
LONGEST_WAIT = 60.0
"""Seconds after which a store that failed is tried again, at most."""
SETTLE_SECONDS = 10.0
_POLL = 0.25


class Uploader:
    """Sends one journal."""

    def __init__(self, journal: Path, store: Store) -> None:
        """Prepare.

        Args:
            journal: The file.
            store: Where to.
        """
        self._journal, self._store = journal, store
        self._offset = 0
        self._run: str | None = None
        self._shown = 0  # time of the picture that was sent last
        self._warned = False

    def run(self) -> None:
        """Send until the training is over, whatever the store does meanwhile."""
        wait = INTERVAL
        while True:
            alive = is_alive(self._journal)  # asked first: what is read afterwards is all of it
            try:
                self._send()
                wait = INTERVAL
            except Exception as error:  # whatever it is, the journal holds all
                self._run, wait = None, min(2 * wait, LONGEST_WAIT)
                self._warn(error if isinstance(error, StoreError) else self._store.failure(error))
            if not alive:
                return
            until = time.monotonic() + wait
            while time.monotonic() < until and is_alive(self._journal):
                time.sleep(_POLL)

    def _send(self) -> None:
        self._store.reach_or_fail()
        from reflowbench.tracking.live_runs import as_metrics, find, show  # imports MLflow
        from reflowbench.tracking.session import open_store

        with open_store(self._store, alone=False) as s:
            if self._run is None:
                name = self._journal.stem
                [attempt] = [a for a in read_attempts(self._journal.parent.parent) if a.run == name]
                run = next(iter(find(s, name)), None) or show(s, name, attempt.stage)
                self._run = run.info.run_id
            points, end = read_points(self._journal, self._offset)
            s.log(self._run, as_metrics(points), {})
            self._offset = end
            plots = plots_of(self._journal)
            picture = plots / "samples.png" if plots else None
            if picture and picture.is_file() and picture.stat().st_mtime_ns != self._shown:
                time_ = picture.stat().st_mtime_ns
                s.client.log_artifact(self._run, str(picture))
                self._shown = time_

    def _warn(self, error: StoreError) -> None:
        if not self._warned:
            print(f"WARNING: no live view for now, training goes on. {error}", file=sys.stderr)
            self._warned = True


def settle(folder: Path) -> None:
    """Wait for the processes that still send journals of trainings that are over; end those that take long.

    Nothing is lost by that: what they have not sent, a sync sends.

    Args:
        folder: The folder of the journals.
    """
    for path in folder.glob("*.upload"):
        journal = path.with_suffix(".jsonl")
        if journal.is_file() and is_alive(journal):
            continue
        with contextlib.suppress(OSError, ValueError), path.open("r+") as file:
            for end in (SETTLE_SECONDS, 1.0):
                if _lock_within(file.fileno(), end):
                    break
                os.kill(int(file.read()), signal.SIGTERM)


def _lock_within(descriptor: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() > until:
            return False
        time.sleep(_POLL)


@contextlib.contextmanager
def _announced(journal: Path) -> Iterator[None]:
    """Say which process sends a journal, for as long as it does."""
    path = journal.with_suffix(".upload")
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(str(os.getpid()))
        file.flush()
        yield
        path.unlink(missing_ok=True)


def main(argv: list[str]) -> None:
    """Send the journal that is named until its training is over."""
    os.nice(10)  # training comes first
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # tells of every try
    set_environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_HTTP_REQUEST_TIMEOUT="5")
    journal = Path(argv[0])
    with _announced(journal):
        Uploader(journal, Store.locate(find_workspace())).run()


if __name__ == "__main__":
    main(sys.argv[1:])
