"""A training run as it goes, row by row in a file: what the live view shows, and what an outage of it cannot lose.

The file is the sidecar's, never an output. `tracking/live` sends its rows to MLflow while the run goes on, in a
process of its own that starts once a run has taken a while; the next sync sends what is left. So training neither
waits for a server nor imports MLflow.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import sidecar
from reflowbench.runtime.distributed import world

VARIABLE = "REFLOWBENCH_LIVE"
SYSTEM_VARIABLE = "REFLOWBENCH_SYSTEM_METRICS"
ROWS = 500
"""At most so many rows of a run (a row is a mean over steps): tracking servers draw slowly beyond thousands."""

FLUSH_SECONDS = 1.0
SYSTEM_SECONDS = 5.0
_HELD: list[IO[bytes]] = []  # open files keep their locks


class Step(Protocol):
    """The report of one optimizer step."""

    @property
    def number(self) -> int:
        """From 0."""

    @property
    def loss(self) -> float:
        """Of the batch."""

    @property
    def gradient_norm(self) -> float:
        """Before clipping."""

    @property
    def learning_rate(self) -> float:
        """That the step was taken with."""


class Steps(Protocol):
    """A training run: iterating trains."""

    def __len__(self) -> int:
        """Number of steps."""

    @property
    def done(self) -> int:
        """Steps that were taken."""

    def __iter__(self) -> Iterator[Step]:
        """Train, yielding after each step."""


def live_after() -> float:
    """Seconds after which a run is shown live, by REFLOWBENCH_LIVE (`off` or a number); 30 if it is not set.

    Returns:
        Seconds; infinity for `off`.

    Raises:
        ReflowbenchError: If the variable is neither.
    """
    value = os.environ.get(VARIABLE, "30")
    if value == "off":
        return math.inf
    with contextlib.suppress(ValueError):
        if float(value) >= 0:
            return float(value)
    raise ReflowbenchError(f"environment variable {VARIABLE} = {value!r}: want seconds, such as 30, or off")


class Journal:
    """A training run that is written down: iterate in place of the run.

    Outside `dvc repro` nothing is written: there is no stage that the rows would be of.
    """

    def __init__(self, steps: Steps, plots: Path | None) -> None:
        """Prepare.

        Args:
            steps: The run.
            plots: Folder of its curves and sample grids, to be shown too.

        Raises:
            ReflowbenchError: If REFLOWBENCH_LIVE is neither seconds nor `off`.
        """
        self._steps, self._plots = steps, plots
        self._after = live_after()
        self._length = math.ceil(len(steps) / ROWS)
        self._rows: list[dict[str, Any]] = []
        self._file: IO[bytes] | None = None
        self._started = self._flushed = time.monotonic()
        self._done = steps.done
        system = os.environ.get(SYSTEM_VARIABLE) == "1"
        self._sampled = self._started if system else math.inf
        if system:
            _system()  # load is measured since the call before

    def __len__(self) -> int:
        """Number of steps."""
        return len(self._steps)

    @property
    def done(self) -> int:
        """Steps that were taken."""
        return self._steps.done

    def __iter__(self) -> Iterator[Step]:
        """Train, yielding after each step."""
        stage = sidecar.stage_name()
        if stage is None or not world().first:
            yield from self._steps
            return
        path = sidecar.folder() / sidecar.LIVE / f"{sidecar.RUN}.jsonl"
        self._file = _opened(path)
        plots = self._plots.resolve().as_posix() if self._plots else None
        self._rows = [{"run": sidecar.RUN, "stage": stage, "plots": plots}]
        self._flush()
        window: list[Step] = []
        try:
            for step in self._steps:
                window.append(step)
                if len(window) == self._length or step.number + 1 == len(self):
                    self._rows.append(_row(window))
                    window = []
                self._now_and_then(step.number + 1, path)
                yield step
        finally:
            if window:
                self._rows.append(_row(window))
            self._flush()

    def _now_and_then(self, done: int, path: Path) -> None:
        """Do what a short step has no time for."""
        now = time.monotonic()
        # Ever more seldom, so that a run of days does not get a row for each of its seconds.
        if now - self._flushed < max(FLUSH_SECONDS, (now - self._started) / ROWS):
            return
        speed = (done - self._done) / (now - self._flushed)
        self._rows.append({"step": done, "time": _milliseconds(), "steps_per_second": speed})
        self._flushed, self._done = now, done
        if now - self._sampled >= SYSTEM_SECONDS:
            self._sampled = now
            self._rows.append({"step": done, "time": _milliseconds(), **_system()})
        self._flush()
        if self._file and now - self._started >= self._after:
            self._after = math.inf
            _show(path)

    def _flush(self) -> None:
        if self._file:
            with contextlib.suppress(OSError):  # a full disk must not end a run for the sake of its curve
                self._file.write("".join(json.dumps(row) + "\n" for row in self._rows).encode())
        self._rows = []


def _opened(path: Path) -> IO[bytes] | None:
    """Open a journal and lock it as long as this process lives: others see by that whether the stage still runs."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        print(f"WARNING: {path} cannot be written ({error.strerror}): no live view of this run", file=sys.stderr)
        return None
    _HELD.append(file)
    return file


def _row(window: list[Step]) -> dict[str, Any]:
    """Means over some steps; of the learning rate the last."""
    means = {name: sum(getattr(step, name) for step in window) / len(window) for name in ("loss", "gradient_norm")}
    last = window[-1]
    return {"step": last.number + 1, "time": _milliseconds(), **means, "learning_rate": last.learning_rate}


def _system() -> dict[str, float]:
    """Load of the machine, by the names under which MLflow shows it."""
    import psutil

    memory = psutil.virtual_memory()
    found = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_usage_megabytes": psutil.Process().memory_info().rss / 1e6,
    }
    torch = sys.modules["torch"]  # of the training
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        found[f"system/gpu_{i}_memory_usage_megabytes"] = (total - free) / 1e6
        found[f"system/gpu_{i}_memory_usage_percentage"] = 100 * (1 - free / total)
    return found


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _show(path: Path) -> None:
    """Start the process that sends the journal to MLflow; it ends after this one, by itself."""
    command = [sys.executable, "-m", "reflowbench.tracking.live", str(path.resolve())]
    with contextlib.suppress(OSError):
        # A session of its own: Ctrl-C is for the training, whose last rows are then sent.
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
