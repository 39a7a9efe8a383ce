"""Where the time of `dvc repro` goes: a cold run of the default pipeline in a clone, and one with nothing to do.

What a stage takes is from its sidecar, its start from a run of the same script with `--help`; what is left of the wall
time is DVC's: reading the DAG, hashing, the lock, the cache. Then the same by `reflowbench launch` in another clone.
Takes 45 minutes on two cores.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.clones import cold, differing, launched, timed
from reflowbench.runtime.distributed import cores

PARTS = {"method grid": ("report",), "theory": ("theory/dvc.yaml",), "controls": ("controls/dvc.yaml",)}
THREADS = 1
"""Of each stage: as in `make repro`."""


def rows(turns: int) -> Iterator[dict[str, object]]:
    """A row for each part of the pipeline, then one for each script."""
    del turns  # once is long enough
    base = Path(tempfile.mkdtemp(prefix="whole-"))
    clone = cold(base / "clone")
    yield from parts(clone, THREADS)
    timed(clone, THREADS, "dvc", "repro")  # whatever is left: the mirror in MLflow
    nothing = [timed(clone, THREADS, "dvc", "repro") for _ in range(3)]
    yield {"part": "nothing to do", "stages": 0, "wall": median(nothing)}
    yield from _growth(clone)
    other = cold(base / "launched")
    tasks, finish = launched(other, cores(), THREADS)
    differ, count = differing(other, clone)
    part = f"method grid by `reflowbench launch`, {cores()} workers"
    yield {"part": part, "stages": count, "wall": tasks + finish, "finish": finish, "differing": len(differ)}
    shutil.rmtree(base)


def parts(clone: Path, threads: int | None) -> Iterator[dict[str, object]]:
    """Run each part in a cold clone, its stages with so many threads: a row for it, and one for each of its scripts."""
    starts: dict[str, float] = {}
    for part, targets in PARTS.items():
        before = len(_lines(clone))
        wall = timed(clone, threads, "dvc", "repro", *targets)
        lines = _lines(clone)[before:]
        spent, count = defaultdict(float), defaultdict(int)
        for line in lines:
            spent[line["script"]] += line["seconds"]
            count[line["script"]] += 1
        for script in spent.keys() - starts.keys():
            starts[script] = _start(script)
        starting = sum(starts[script] * number for script, number in count.items())
        inside = sum(spent.values())
        yield {
            "part": part,
            "stages": len(lines),
            "wall": wall,
            "computation": inside - starting,
            "starts": starting,
            "dvc": wall - inside,
        }
        for script in sorted(spent, key=lambda name: -spent[name]):
            yield {
                "part": part,
                "script": script,
                "stages": count[script],
                "seconds": spent[script],
                "starts": starts[script] * count[script],
            }


def _lines(clone: Path) -> list[dict[str, object]]:
    file = clone / ".scratch/durations.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _start(script: str) -> float:
    """Seconds of a process of this script that does nothing."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", f"stages.{script}", "--help"], stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - started)
    return median(taken)


def _growth(clone: Path) -> Iterator[dict[str, object]]:
    """Mean seconds of the stages of each round and of each seed: none should take longer than the first."""
    for option in ("--round", "--seed"):
        found = defaultdict(list)
        for line in _lines(clone):
            arguments = line["arguments"]
            if line["script"] in ("generate_pairs", "rca_regenerate", "train_round") and option in arguments:
                found[arguments[arguments.index(option) + 1]].append(line["seconds"])
        for value, seconds in sorted(found.items()):
            yield {"by": option.strip("-"), "value": value, "stages": len(seconds), "mean": sum(seconds) / len(seconds)}
