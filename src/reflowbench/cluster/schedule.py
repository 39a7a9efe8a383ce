"""Which task runs when: each once those that it needs are done, so many at a time, failed ones again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from reflowbench.cluster.plan import Task
from reflowbench.errors import ReflowbenchError

State = Literal["waiting", "running", "done", "failed", "skipped", "stopped"]
ENDED: tuple[State, ...] = ("done", "failed", "skipped", "stopped")


class Job(Protocol):
    """A task that was started."""

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""

    def stop(self) -> None:
        """Ask it to end after saving what it has done."""

    def kill(self) -> None:
        """End it at once."""


@dataclass
class Run:
    """A task and what has become of it.

    Attributes:
        task: The task.
        state: `skipped`: a task that it needs failed; `stopped`: it was asked to end.
        tries: How often it was started.
        seconds: What it took, all tries together.
        job: The one that runs.
        reason: Why it is not done, if more is known than its log says.
    """

    task: Task
    state: State = "waiting"
    tries: int = 0
    seconds: float = 0.0
    job: Job | None = None
    reason: str = ""
    _started: float = 0.0

    def elapsed(self) -> float:
        """Seconds, up to now if it runs."""
        return self.seconds + (time.monotonic() - self._started if self.state == "running" else 0.0)


class Schedule:
    """The tasks of a launch; call `step` until it says that all have ended.

    Attributes:
        runs: By task's name.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        done: Iterable[str],
        start: Callable[[Run], Job],
        *,
        workers: int,
        retries: int,
        seconds: Mapping[str, float],
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            tasks: Each after those that it needs.
            done: Names of those that need not run.
            start: Starts a task; an `OSError` or `ReflowbenchError` of it is a failed try.
            workers: So many run at a time.
            retries: So many times a failed one is started again.
            seconds: What each may take. Those with the longest way to the end of the plan start first.
        """
        done = set(done)
        self.runs = {task.name: Run(task, "done" if task.name in done else "waiting") for task in tasks}
        self._start, self._workers, self._retries = start, workers, retries
        self._stopping = False
        self._way: dict[str, float] = {}
        for task in reversed(tasks):
            behind = (self._way[other.name] for other in tasks if task.name in other.after)
            self._way[task.name] = seconds.get(task.name, 0.0) + max(behind, default=0.0)

    def step(self) -> bool:
        """Take note of what has ended and start what can start.

        Returns:
            Whether there is anything left to wait for.
        """
        for run in self._in("running"):
            self._poll(run)
        for run in self._in("waiting"):
            needs = [self.runs[name].state for name in run.task.after]
            if self._stopping:
                run.state = "stopped"
            elif any(state in ("failed", "skipped", "stopped") for state in needs):
                run.state = "skipped"
                run.reason = f"needs {next(n for n in run.task.after if self.runs[n].state != 'done')}"
        free = self._workers - len(self._in("running"))
        ready = [run for run in self._in("waiting") if all(self.runs[n].state == "done" for n in run.task.after)]
        for run in sorted(ready, key=lambda run: -self._way[run.task.name])[: max(0, free)]:
            self._begin(run)
        return any(run.state not in ENDED for run in self.runs.values())

    def stop(self) -> None:
        """Start no more, and ask what runs to end."""
        self._stopping = True
        for run in self._in("running"):
            if run.job:
                run.job.stop()

    def kill(self) -> None:
        """End what runs at once."""
        self._stopping = True
        for run in self._in("running"):
            if run.job:
                run.job.kill()

    def _in(self, state: State) -> list[Run]:
        return [run for run in self.runs.values() if run.state == state]

    def _begin(self, run: Run) -> None:
        run.tries += 1
        run._started = time.monotonic()
        run.state, run.reason = "running", ""
        try:
            run.job = self._start(run)
        except (OSError, ReflowbenchError) as error:
            self._end(run, 1)
            run.reason = str(error)

    def _poll(self, run: Run) -> None:
        status = run.job.poll() if run.job else 1
        if status is not None:
            run.reason = getattr(run.job, "reason", "")
            self._end(run, status)

    def _end(self, run: Run, status: int) -> None:
        run.seconds += time.monotonic() - run._started
        run.job = None
        if status == 0:
            run.state = "done"
        elif self._stopping:
            run.state = "stopped"
        else:
            run.state = "failed" if run.tries > self._retries else "waiting"
