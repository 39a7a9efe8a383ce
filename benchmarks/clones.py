"""Clones of the last commit that have never run anything, and commands in them."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from reflowbench.tracking.lock import lock_files

ROOT = Path(__file__).parent.parent
_OURS = ("MLFLOW_", "DVC_", "REFLOWBENCH_", "OMP_NUM", "MKL_NUM", "OPENBLAS_NUM")
"""Variables that would change what runs there."""


def environment(folder: Path, threads: int | None) -> dict[str, str]:
    """Variables with which a clone runs its own code; without `threads` each stage takes all cores."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    kept |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),
        "REFLOWBENCH_LIVE": "off",
    }
    return kept | ({"REFLOWBENCH_THREADS": str(threads)} if threads else {})


def timed(folder: Path, threads: int | None, *command: str) -> float:
    """Seconds of a command in a clone, in its `environment`."""
    started = time.perf_counter()
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        result = subprocess.run(
            command, cwd=folder, env=environment(folder, threads), stdout=log, stderr=log, check=False
        )
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed: {log.name}")
    return time.perf_counter() - started


def cold(folder: Path, profile: str | None = None) -> Path:
    """A clone that has never run anything."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    for lock in folder.rglob("dvc.lock"):
        lock.unlink()
    if profile:
        timed(folder, None, "reflowbench", "profile", profile)
    else:
        shutil.copy(ROOT / "params.yaml", folder)
        timed(folder, None, "reflowbench", "rounds")
    return folder


def launched(folder: Path, workers: int, threads: int) -> tuple[float, float]:
    """Seconds of all tasks by `reflowbench launch` in a clone, and of the `dvc repro` that gathers what they made."""
    options = ["--workers", str(workers), "--threads", str(threads)]
    tasks = timed(folder, threads, "reflowbench", "launch", *options, "--no-finish")
    return tasks, timed(folder, threads, "dvc", "repro")


def differing(first: Path, second: Path) -> tuple[list[str], int]:
    """Stages of the second clone whose entry in its dvc.lock is not that of the first one; and how many it has."""
    one, other = _entries(first), _entries(second)
    return sorted(name for name in other if other[name] != one.get(name)), len(other)


def _entries(folder: Path) -> dict[str, object]:
    """Those of dvc.lock by stage, of the pipeline and of its rounds."""
    texts = [path.read_text() for path in lock_files(folder)]
    return {name: entry for text in texts for name, entry in yaml.safe_load(text)["stages"].items()}
