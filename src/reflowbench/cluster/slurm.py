"""Tasks as jobs of SLURM, through submitit."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reflowbench.cluster.schedule import Job
from reflowbench.errors import ReflowbenchError

_LAG = 15.0
"""Seconds until a file that another machine has written is seen here, as the caches of network file systems have it."""
_ASK = 2.0
"""Seconds between two questions to SLURM about a job that was cancelled."""
_BEFORE = 120
"""Seconds before its time is up at which a job is asked to save what it has done."""


@dataclass(frozen=True)
class Request:
    """What a job asks SLURM for.

    Attributes:
        partition: None for the cluster's default.
        cpus: Of each job.
        gpus: Of each job; None if it asks for none.
        minutes: Time limit; None for the cluster's default.
        more: Any other options of `sbatch`, without the dashes.
    """

    partition: str | None = None
    cpus: int = 1
    gpus: int | None = None
    minutes: int | None = None
    more: Mapping[str, str] = field(default_factory=dict)


class Slurm:
    """Jobs of SLURM. Clones, logs and DVC's cache must be on a file system that all its nodes share."""

    def __init__(self, folder: Path, request: Request) -> None:
        """Prepare.

        Args:
            folder: For submitit's files, among them pickles; closed to others.
            request: What each job asks for.

        Raises:
            ReflowbenchError: If submitit or SLURM is not there, or jobs of an earlier launch are.
        """
        try:
            import submitit
        except ImportError:
            raise ReflowbenchError(
                "--slurm needs submitit, which is not installed: `pip install -e '.[cluster]'`"
            ) from None
        self._folder, self._request = folder, request
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._refuse_second()
        logging.getLogger("submitit").setLevel(logging.ERROR)
        self._function = submitit.helpers.CommandFunction
        try:
            self._executor = submitit.SlurmExecutor(folder=folder / "submitit")
        except RuntimeError:
            raise ReflowbenchError(
                "--slurm: there is no `srun` here; launch on a login node, or without --slurm"
            ) from None

    def _refuse_second(self) -> None:
        paths = sorted(self._folder.glob("*.job"))
        jobs = {path: path.read_text(encoding="utf-8").strip() for path in paths}
        living = _queued([job for job in jobs.values() if job.isdecimal()])
        if living:
            names = ", ".join(path.stem for path, job in jobs.items() if job in living)
            raise ReflowbenchError(
                f"jobs of a launch that was killed are still there ({names}): wait until they have ended, or cancel "
                f"them by `scancel {' '.join(living)}` (their stages save what they have done); then launch again"
            )
        for path in paths:
            path.unlink()

    def start(self, name: str, command: Sequence[str], clone: Path, variables: Mapping[str, str], log: Path) -> Job:
        """Submit a command; see `Backend`. A job that SLURM refuses is an error."""
        status = self._folder / f"{name}.status"
        status.unlink(missing_ok=True)
        setting = [f"{key}={value}" for key, value in variables.items()]
        runner = [sys.executable, "-m", "reflowbench.cluster.job", "--log", str(log), "--status", str(status)]
        request = self._request
        wanted: dict[str, Any] = {
            "job_name": f"reflowbench-{name}",
            "partition": request.partition,
            "cpus_per_task": request.cpus,
            "gpus_per_task": request.gpus,
            "time": request.minutes,
            "ntasks_per_node": 1,
            # SLURM no longer hands a job's number of processors on to its steps.
            "srun_args": [f"--cpus-per-task={request.cpus}"],
            # In place of submitit's own signal, which would end the stage before it has saved.
            "additional_parameters": {"signal": f"TERM@{_BEFORE}", **request.more},
        }
        try:
            # A time limit of None is none; without one submitit asks for five minutes.
            given = {key: value for key, value in wanted.items() if value is not None or key == "time"}
            self._executor.update_parameters(**given)
            job = self._executor.submit(self._function(["env", *setting, *runner, *command], verbose=False, cwd=clone))
        except Exception as error:  # submitit has several of its own
            raise ReflowbenchError(f"SLURM refused {name}: {str(error).strip()}") from None
        (self._folder / f"{name}.job").write_text(f"{job.job_id}\n", encoding="utf-8")
        return SlurmJob(job, status)

    def ended(self, name: str) -> None:
        """Forget the number of its job."""
        (self._folder / f"{name}.job").unlink(missing_ok=True)


class SlurmJob:
    """A job that was submitted.

    Attributes:
        reason: Why it ended, if SLURM ended it.
    """

    def __init__(self, job: Any, status: Path) -> None:
        self._job, self._status = job, status
        self._gone: float | None = None
        self._cancelled = False
        self._asked = 0.0
        self.reason = ""

    def poll(self) -> int | None:
        """Exit status of the command; None while the job waits or runs."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._status.read_text(encoding="utf-8"))
        now = time.monotonic()
        if self._gone is None:
            force = self._cancelled and now - self._asked > _ASK
            if force:
                self._asked = now
            if not self._job.done(force_check=force):
                return None
            self._gone = now
        if not self._cancelled and now - self._gone < _LAG:
            return None
        self.reason = f"job {self._job.job_id}: {self._job.state}"
        return 1

    def stop(self) -> None:
        """Cancel it: SLURM sends SIGTERM, and SIGKILL after its KillWait (30 s by default)."""
        self._cancelled = True
        self._job.cancel(check=False)

    def kill(self) -> None:
        """Cancel it."""
        self.stop()


def _queued(jobs: Sequence[str]) -> list[str]:
    """Those of the jobs that SLURM has in its queue."""
    if not jobs:
        return []
    command = ["squeue", "--noheader", "--format=%i"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        raise ReflowbenchError(f"`squeue` failed, which tells whether an earlier launch still runs: {error}") from None
    return [job for job in jobs if job in found]
