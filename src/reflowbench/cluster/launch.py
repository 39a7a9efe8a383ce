"""A launch: plan, clones, tasks side by side, and the last `dvc repro` in the checkout, which only gathers."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from reflowbench.cluster import lockfile
from reflowbench.cluster.backends import Backend, Local
from reflowbench.cluster.clones import Clones, python_path
from reflowbench.cluster.gpus import Gpus, visible
from reflowbench.cluster.plan import Plan, make_plan
from reflowbench.cluster.processes import Process
from reflowbench.cluster.schedule import Job, Run, Schedule
from reflowbench.cluster.slurm import Request, Slurm
from reflowbench.cluster.view import Log, View, show_plan
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import SCRATCH
from reflowbench.runtime.distributed import cores, processes
from reflowbench.runtime.locks import FOLDER, locked
from reflowbench.runtime.processes import on_stop
from reflowbench.runtime.sidecar import profile
from reflowbench.runtime.start import THREADS_VARIABLE, threads
from reflowbench.status.durations import read_durations
from reflowbench.status.stages import PIPELINE, Stage, read_stages
from reflowbench.tracking.lock import LOCK, lock_files
from reflowbench.upkeep.recover import recover

LIVE_VARIABLE = "REFLOWBENCH_LIVE"
_POLL = 0.2
_UNKNOWN = 10.0
"""Seconds that a stage may take which was never timed: only the order of tasks depends on it."""
_SHOWN = ("Running stage", "WARNING", "ERROR", "ignored: ")
_ERROR = re.compile(r"^ERROR: (.*)", re.MULTILINE)


@dataclass(frozen=True)
class Options:
    """What `reflowbench launch` was asked for.

    Attributes:
        workers: Tasks at a time; None for as many as cores allow, on SLURM for all that can run.
        threads: Of each task; None for REFLOWBENCH_THREADS, or the cores divided by the workers.
        retry: So many times a task that failed is started again.
        folder: For clones and logs.
        keep: Whether clones stay.
        finish: Whether the last `dvc repro` follows.
        slurm: What jobs ask for; None for processes of this machine.
        pipeline: The dvc.yaml, from the root.
    """

    workers: int | None = None
    threads: int | None = None
    retry: int = 1
    folder: Path = SCRATCH / "launch"
    keep: bool = False
    finish: bool = True
    slurm: Request | None = None
    pipeline: Path = PIPELINE


def allot(workers: int | None, each: int | None, cores: int) -> tuple[int, int]:
    """Divide the cores of this machine.

    Args:
        workers: Tasks at a time, if that was asked for.
        each: Threads of each, if that was asked for.
        cores: Of this machine.

    Returns:
        Both.
    """
    workers = workers or max(1, cores // (each or 1))
    return workers, each or max(1, cores // workers)


def dry_run(pipeline: Path, file: TextIO) -> None:
    """Print what a launch would run.

    Args:
        pipeline: The dvc.yaml.
        file: Where.
    """
    stages = read_stages(pipeline)
    plan = make_plan(stages)
    show_plan(plan, _done(plan, stages), file)


def launch(options: Options, file: TextIO) -> int:
    """Run a pipeline of the working folder.

    Args:
        options: How.
        file: Where progress is shown.

    Returns:
        Exit status: 1 if a task failed, 128 and the signal's number if it was asked to stop.

    Raises:
        ReflowbenchError: If there is nothing to launch here, or another launch is at work.
    """
    root, folder = Path.cwd(), options.folder.absolute()
    if folder.is_relative_to(root) and not folder.is_relative_to(root / SCRATCH):
        raise ReflowbenchError(f"--folder {options.folder}: choose one in {SCRATCH}/ or outside of the checkout")
    signals: list[int] = []
    with locked(SCRATCH / FOLDER, "reflowbench launch"), on_stop(lambda number, _: signals.append(number)):
        for sentence in recover():
            print(sentence, file=file)
        stages = read_stages(options.pipeline)
        plan = make_plan(stages)
        crew = _Crew(options, plan, root, folder)
        schedule = Schedule(
            plan.tasks,
            _done(plan, stages),
            crew.start,
            workers=crew.workers,
            retries=options.retry,
            seconds=_expected(plan, stages),
        )
        left = sum(run.state != "done" for run in schedule.runs.values())
        print(f"{left} of {len(plan.tasks)} tasks to run, {crew.said}; logs in {options.folder}/logs", file=file)
        with View(schedule.runs, file) as view:
            crew.view = view
            try:
                _pass_on(signals, schedule)
                while crew.step(schedule):
                    view.update()
                    time.sleep(_POLL)
                    _pass_on(signals, schedule)
            except BaseException:  # nobody would look after what runs
                schedule.stop()
                raise
        changed = crew.changed()
        crew.record()
        if signals:
            return _stopped(signals[-1], file)
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            print(f"changed while this ran: {', '.join(changed[:3])}{more}. What ran is as it was before, and in DVC's "
                  "cache; run this again for the rest", file=file)  # fmt: skip
            return 1
        variables = crew.variables(root)
        _dvc(["checkout", "--quiet", "--allow-missing"], variables, signals)  # what fails, `dvc repro` makes good
        if signals:
            return _stopped(signals[-1], file)
        failed = [run for run in schedule.runs.values() if run.state != "done"]
        if failed:
            _report(failed, options.folder, file)
            return 1
        if not options.finish:
            return 0
        log = options.folder / "logs" / "final.log"
        log.unlink(missing_ok=True)
        status = _dvc(["repro", str(options.pipeline)], variables, signals, log)
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(_SHOWN):  # not that hundreds of stages are up to date
                print(line, file=file)
        return _stopped(signals[-1], file) if signals else status


class _Crew:
    """Starts tasks in their clones, and clears up after them."""

    def __init__(self, options: Options, plan: Plan, root: Path, folder: Path) -> None:
        asked = options.threads or threads()
        self._backend: Backend
        if options.slurm is None:
            self._gpus = Gpus(visible(), processes())
            self.workers, self.threads = allot(options.workers or self._gpus.groups, asked, cores())
            self._backend = Local(folder / "running")
            on = f" on {self._gpus.groups} GPUs" if self._gpus.groups else ""
            self.said = f"{self.workers} at a time{on} with {THREADS_VARIABLE}={self.threads} each"
        else:
            self._gpus = Gpus([], 1)  # SLURM's own affair
            self.workers, self.threads = options.workers or sys.maxsize, asked or options.slurm.cpus
            self._backend = Slurm(folder / "slurm", options.slurm)
            self.said = f"as jobs of SLURM with {THREADS_VARIABLE}={self.threads} each"
        self._root, self._clones = root, Clones(root, folder / "clones")
        self._needed: dict[str, set[str]] = {}
        for task in plan.tasks:  # each after those that it needs
            self._needed[task.name] = set(task.stages).union(*(self._needed[name] for name in task.after))
        self._made: dict[Path, dict[str, str]] = {}
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._keep, self._pipeline = options.keep, options.pipeline
        self.view: View | None = None

    def variables(self, folder: Path) -> dict[str, str]:
        """Of the environment of a task: the clone's code, this Python, and its share of the cores."""
        return {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": python_path(folder),
            "PYTHONUNBUFFERED": "1",  # so that its log says where it is
            THREADS_VARIABLE: str(max(1, self.threads // processes())),  # of which each process takes as many
            LIVE_VARIABLE: os.environ.get(LIVE_VARIABLE, "off"),
        }

    def start(self, run: Run) -> Job:
        """Start a task, or start it again."""
        task, log = run.task, self._logs / f"{run.task.name}.log"
        clone = self._clones.prepare(task.name)
        for lock in self._locks(clone):
            lockfile.keep(lock, self._needed[task.name])
        command = [sys.executable, "-m", "dvc", "repro", *task.targets]
        now, targets = time.strftime("%Y-%m-%d %H:%M:%S"), " ".join(task.targets)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"\n=== {now} try {run.tries}: dvc repro {targets}\n")
        if self.view:
            self.view.logs[task.name] = Log(log)
        return self._backend.start(task.name, command, clone, self.variables(clone) | self._gpus.take(task.name), log)

    def step(self, schedule: Schedule) -> bool:
        """Let the schedule go on; clear up after what has ended in it."""
        running = [run for run in schedule.runs.values() if run.state == "running"]
        more = schedule.step()
        for run in running:
            if run.job is None:
                self._backend.ended(run.task.name)
                self._gpus.give_back(run.task.name)
                if run.state == "done":
                    self._note(run)
                if run.state == "done" and not self._keep:
                    self._clones.remove(run.task.name)
        return more

    def _locks(self, folder: Path) -> list[Path]:
        """The dvc.lock files of the pipeline and of the root, as far as they are there."""
        own = folder / self._pipeline.with_name(LOCK)
        return [*dict.fromkeys([*([own] if own.exists() else []), *lock_files(folder)])]

    def _note(self, run: Run) -> None:
        """Keep what a task that is done has put into the dvc.lock of its clone."""
        clone = self._clones.folder / run.task.name
        for lock in self._locks(clone):
            made = {name: text for name, text in lockfile.entries(lock).items() if name in run.task.stages}
            self._made.setdefault(lock.relative_to(clone), {}).update(made)

    def changed(self) -> list[str]:
        """Files that stages read and that have changed in the checkout since the launch began."""
        return self._clones.changed()

    def record(self) -> None:
        """Put into the checkout's dvc.lock files what tasks made; DVC is kept from them meanwhile."""
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        self._clones.close()
        try:
            with Repo(str(self._root)) as repo, repo.lock:
                for lock, made in self._made.items():
                    lockfile.merge(self._root / lock, made)
                gone = sum(lockfile.keep(lock, _names(repo, lock)) for lock in self._locks(self._root))
        except DvcException as error:  # another `dvc` is at work: it is all in the run cache too
            print(f"WARNING: dvc.lock is not written: {error}", file=sys.stderr)
            return
        if gone:  # of another profile or grid: their outputs are nobody's, and the mirror in MLflow would wait for them
            print(f"{gone} stages that dvc.yaml no longer has are out of dvc.lock; DVC's cache keeps what they made")


def _names(repo: Any, lock: Path) -> set[str]:
    """Names of all stages of the dvc.yaml beside a dvc.lock."""
    return {stage.name for stage in repo.stage.load_all(str(lock.with_name("dvc.yaml")))}


def _done(plan: Plan, stages: list[Stage]) -> set[str]:
    """Tasks all of whose stages are done in the checkout itself."""
    done = {stage.name for stage in stages if stage.state == "done"}
    return {task.name for task in plan.tasks if done.issuperset(task.stages)}


def _expected(plan: Plan, stages: list[Stage]) -> dict[str, float]:
    durations = read_durations(profile())
    known = {stage.name: durations.expected(stage.command) or _UNKNOWN for stage in stages}
    return {task.name: sum(known.get(stage, _UNKNOWN) for stage in task.stages) for task in plan.tasks}


def _pass_on(signals: list[int], to: Schedule | Process) -> None:
    """Ask to stop after the first signal, end at once after another; what was passed on already is negative."""
    for i, number in enumerate(signals):
        if number > 0:
            to.stop() if i == 0 else to.kill()
            signals[i] = -number


def _stopped(number: int, file: TextIO) -> int:
    print("stopped; `reflowbench launch` goes on from here", file=file)
    return 128 + abs(number)


def _report(failed: list[Run], folder: Path, file: TextIO) -> None:
    """Name what failed, with the last error that its log has."""
    for run in failed:
        log = folder / "logs" / f"{run.task.name}.log"
        said = run.reason
        if not said and log.exists():
            said = _last_error(log.read_text(encoding="utf-8", errors="replace"))
        where = f"; {log}" if run.tries else ""
        print(f"{run.state}: {run.task.name}{': ' if said else ''}{said}{where}", file=file)
    print("`reflowbench launch` starts these again; what is done comes from DVC's cache", file=file)


def _last_error(log: str) -> str:
    """What a stage said last, or DVC if the stage was killed; DVC only repeats the command line of what has failed."""
    errors = _ERROR.findall(log)
    own = (error for error in reversed(errors[-2:]) if not error.startswith("failed to reproduce"))
    return next(own, errors[-1] if errors else "")


def _dvc(arguments: list[str], variables: dict[str, str], signals: list[int], log: Path | None = None) -> int:
    """Run DVC in the checkout, with what it says in a log, or on this process's output.

    Returns:
        Its exit status.
    """
    process = Process([sys.executable, "-m", "dvc", *arguments], Path.cwd(), os.environ | variables, log)
    while (status := process.poll()) is None:
        _pass_on(signals, process)
        time.sleep(_POLL)
    return status if status >= 0 else 128 - status
