"""A clock that jumps by hours, forwards and backwards, while a stage runs."""

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.chaos.bench import Bench
from tests.chaos.kills import kill_series
from tests.chaos.outcome import Outcome

FAULT = "clock jumps by hours, a kill -9 in between"
_LIBRARIES = ("/usr/lib", "/usr/local/lib")
_HOURS = 10


def _library() -> Path | None:
    """libfaketime of Debian's package `faketime`."""
    if shutil.which("faketime") is None or sys.platform != "linux":
        return None
    found = (path for root in _LIBRARIES for path in Path(root).glob("**/faketime/libfaketime.so.1"))
    return next(found, None)


def clock_jumps(bench: Bench, stage: str, rng: Random) -> Outcome:
    """Kill a stage while the clock jumps, and let it get to its end while it jumps on."""
    library = _library()
    if library is None:
        outcome = Outcome(FAULT, skipped="not done: the Debian package faketime is not installed")
        must = os.environ.get("CI") == "true"
        outcome.require(not must, "clock: the package faketime is not installed although this is CI")
        return outcome
    offset = bench.folder.with_name(f"{bench.folder.name}-clock")
    fake = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # as with a real clock that is set
    }
    with _jumping(offset, Random(rng.random())) as jumps:
        outcome = kill_series(bench, stage, "group", 1, rng, fake)
    outcome.fault = FAULT
    outcome.counts["jumps"] = len(jumps)
    return outcome


@contextlib.contextmanager
def _jumping(offset: Path, rng: Random) -> Iterator[list[float]]:
    """Set the clock again and again; gives the hours by which it is off."""
    jumps: list[float] = []
    over = threading.Event()

    def jump() -> None:
        jumps.append(rng.uniform(-_HOURS, _HOURS))
        draft = offset.with_suffix(".new")
        draft.write_text(f"{jumps[-1]:+.2f}h\n")
        draft.replace(offset)

    def go_on() -> None:
        while not over.wait(rng.uniform(0.1, 0.6)):
            jump()

    jump()
    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield jumps
    finally:
        over.set()
        thread.join()
