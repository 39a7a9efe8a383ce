"""Another profile of the pipeline, run in a clone: its results stay beside those of the root's own."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TextIO

from reflowbench import profiles
from reflowbench.cluster.clones import Clones, python_path
from reflowbench.cluster.processes import Process
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import SCRATCH, atomic
from reflowbench.runtime.locks import FOLDER, locked
from reflowbench.runtime.processes import on_stop
from reflowbench.tracking.lock import LOCK, lock_files

REPORTS = Path("reports")
_KEPT = (".md", ".html", ".csv", ".json")


def launch_profile(name: str, arguments: list[str], file: TextIO) -> int:
    """Run a profile; its results, params.yaml and dvc.lock files go to `reports/NAME`.

    It shares DVC's cache with this checkout, so cells that another profile has run come from there. After an
    interruption it resumes: finished stages are in the cache, checkpoints in this checkout's scratch space.

    Args:
        name: The profile.
        arguments: Further options of `reflowbench launch`.
        file: Where progress is shown.

    Returns:
        Exit status of the launch in the clone.

    Raises:
        ReflowbenchError: If there is no such profile, it is being run already, or there is no clone to be made.
    """
    root, folder = Path.cwd(), Path.cwd() / SCRATCH / "profiles" / name
    profiles.resolve(name)
    with locked(SCRATCH / FOLDER, f"reflowbench launch --profile {name}"):
        clones = Clones(root, folder / "clones")
        clone = clones.prepare(name)
        clones.close()
        for lock in lock_files(clone):  # those of the root's profile
            lock.unlink()
        kept = REPORTS / name
        variables = os.environ | {"PYTHONPATH": python_path(clone), "PYTHONUNBUFFERED": "1"}
        if status := _run(["profile", name], clone, variables):
            return status
        for lock in lock_files(kept):
            if (clone / lock.relative_to(kept)).with_name("dvc.yaml").exists():
                shutil.copy(lock, clone / lock.relative_to(kept))
        print(f"profile {name} in {clone.relative_to(root)}; results go to {kept}", file=file, flush=True)
        if status := _run(["launch", "--folder", str(folder / "launch"), *arguments], clone, variables):
            return status
        _keep(clone, kept)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"results of {name}: {kept}/report.md", file=file)
    return 0


def _keep(clone: Path, kept: Path) -> None:
    """Bring the results here, in place of those of an earlier run, whole or not at all."""
    if not (clone / LOCK).exists():
        raise ReflowbenchError(f"{clone}: has no {LOCK}; nothing is kept")
    with atomic(kept) as temporary:
        shutil.copytree(clone / REPORTS / "figures", temporary / "figures")
        for path in (clone / REPORTS).iterdir():
            if path.suffix in _KEPT:
                shutil.copy(path, temporary)
        shutil.copy(clone / "params.yaml", temporary)
        for lock in lock_files(clone):
            target = temporary / lock.relative_to(clone)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(lock, target)


def _run(arguments: list[str], clone: Path, variables: dict[str, str]) -> int:
    """Run a command of this package in the clone; signals are passed on."""
    signals: list[int] = []
    with on_stop(lambda number, _: signals.append(number)):
        process = Process([sys.executable, "-m", "reflowbench", *arguments], clone, variables, None)
        passed = 0
        while (status := process.poll()) is None:
            for _ in signals[passed:]:
                process.stop() if passed == 0 else process.kill()
                passed += 1
            time.sleep(0.2)
    return status if status >= 0 else 128 - status
