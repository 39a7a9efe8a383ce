"""A disk that is full and one that is read-only: a message, nothing lost, and the same bytes once there is space."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.chaos.bench import Bench
from tests.chaos.outcome import Outcome

FULL, READ_ONLY = "disk full", "disk read-only"
_SLACK = 48 << 20
"""Bytes that the runs on it may need, besides the copy."""


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of its own at a new folder, in memory.

    Raises:
        PermissionError: If this process may not mount.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise PermissionError
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def _full(disk: Path, room: int) -> Iterator[None]:
    """Fill the disk but for some bytes."""
    state = os.statvfs(disk)
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - room // 4096 * 4096)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def _read_only(disk: Path, room: int) -> Iterator[None]:
    for option in ("ro", "rw"):
        subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)
        if option == "ro":
            try:
                yield
            except BaseException:
                subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
                raise


_FAULTS: dict[str, tuple[Callable[[Path, int], contextlib.AbstractContextManager[None]], str]] = {
    FULL: (_full, "free some"),
    READ_ONLY: (_read_only, "mounted read-only"),
}


def disk_fault(bench: Bench, fault: str, stages: list[str], short: bool, rng: Random) -> Outcome:
    """Run stages on a disk that takes nothing, or too little, by themselves and by DVC."""
    outcome = Outcome(fault)
    rooms = [0.0] if short or fault == READ_ONLY else [0.0, rng.random()]  # left, as a share of what the stage writes
    disk = bench.folder.with_name(f"{bench.folder.name}-disk")
    size = sum(path.stat().st_size for path in bench.folder.rglob("*") if path.is_file())
    try:
        with small_disk(disk, 2 * size + _SLACK):
            small = bench.copy(disk / "project")
            for stage in stages:
                _alone(small, disk, fault, stage, rooms, outcome)
                _by_dvc(small, disk, fault, stage, outcome)
    except PermissionError:
        outcome.skipped = "not done: mounting a file system is refused here"  # in a container to root too
    finally:
        if disk.exists():
            disk.rmdir()
    return outcome


def _alone(small: Bench, disk: Path, fault: str, stage: str, rooms: list[float], outcome: Outcome) -> None:
    """The stage's command, with the output of an earlier run in place."""
    makes, message = _FAULTS[fault]
    command = [sys.executable, *small.command(stage)[1:]]
    size = sum((small.folder / name).stat().st_size for name in small.expected[stage])
    for room in rooms:
        outcome.times += 1
        with makes(disk, int(room * size)):
            run = small.launch(*command, REFLOWBENCH_SAVE_SECONDS="0.3")
            status = run.wait()
        outcome.require(status == 1 and message in run.text, f"{stage}, {fault}: no clear end ({status})", run)
        outcome.require("Traceback" not in run.text, f"{stage}, {fault}: a traceback", run)
        outcome.counts["message and exit status 1"] += status == 1 and message in run.text
        for name in small.expected:
            # What a training shows of itself is written while it runs, and is of the last run.
            lost = [path for path in small.differing(name) if not path.startswith("runs/training/")]
            outcome.require(not lost, f"{stage}, {fault}: earlier output harmed: {', '.join(lost)}")
        outcome.finish(small, [stage], small.launch(*command), f"{stage}, after {fault}")


def _by_dvc(small: Bench, disk: Path, fault: str, stage: str, outcome: Outcome) -> None:
    """The same in `dvc repro`, which has files of its own to write."""
    makes, _ = _FAULTS[fault]
    small.forget(stage)
    outcome.times += 1
    with makes(disk, 0):
        run = small.launch_stage(stage)
        status = run.wait()
    outcome.require(bool(status), f"{stage}, {fault}, by dvc: exit status {status}", run)
    for name in set(small.expected) - {stage}:
        lost = [path for path in small.differing(name) if not path.startswith("dvc.lock")]
        outcome.require(not lost, f"{stage}, {fault}, by dvc: earlier output harmed: {', '.join(lost)}")
    outcome.recover(small)
    outcome.finish(small, [stage], small.launch_stage(stage), f"{stage}, after {fault}, by dvc")
