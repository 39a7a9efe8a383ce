"""kill -9, SIGTERM and SIGINT at random moments of a stage."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil

from tests.chaos.bench import PATIENCE, Bench, Run
from tests.chaos.outcome import Outcome

TARGETS = {
    "group": "kill -9 of dvc and the stage",
    "stage": "kill -9 of the stage",
    "dvc": "kill -9 of dvc alone (the stage goes on)",
}
SIGNALS = {signal.SIGTERM: "SIGTERM to the stage", signal.SIGINT: "SIGINT (Ctrl-C) to the stage"}
RESUMES = "resumes with"
SAVED = "the next run goes on from here"
REFUSES = "still works on"
_WORKS = re.compile(rf"%\||{RESUMES}")
"""What a stage says when it starts to work: a progress bar, or that it goes on."""
_SAVE_SECONDS = ("0", "0.3", "1")


def kill_series(
    bench: Bench, stage: str, target: str, times: int, rng: Random, environment: dict[str, str] | None = None
) -> Outcome:
    """Kill a stage several times in a row, then let it get to its end."""
    outcome = Outcome(TARGETS[target])
    bench.forget(stage)
    also, saved = environment or {}, False
    for _ in range(4 * times):  # a moment that comes after the end hits nothing
        if outcome.times == times:
            break
        run = bench.launch_stage(stage, **also, REFLOWBENCH_SAVE_SECONDS=rng.choice(_SAVE_SECONDS))
        hit = _strike(bench, stage, run, target, rng)
        _note_resumed(outcome, run, saved)
        if hit is None:
            outcome.finish(bench, [stage], run, f"{stage}, not hit")
            if outcome.failed:
                return outcome
            bench.forget(stage)
            saved = False
            continue
        outcome.times += 1
        outcome.counts[hit] += 1
        outcome.killed[stage.rpartition(":")[2].partition("@")[0]] += 1
        saved = bool(bench.saved())
        if target == "dvc" and _beside(bench, stage, run, saved, rng, outcome):
            outcome.compare(bench, [stage], f"{stage}, by a second run")
            bench.forget(stage)
        saved = bool(bench.saved())
        outcome.recover(bench)
    run = bench.launch_stage(stage, **also)  # as a user would start it
    outcome.finish(bench, [stage], run, f"{stage}, after {outcome.fault}")
    _note_resumed(outcome, run, saved)
    return outcome


def _note_resumed(outcome: Outcome, run: Run, saved: bool) -> None:
    if saved and RESUMES in run.text:
        outcome.counts["resumed"] += 1


def _moment(
    bench: Bench, stage: str, run: Run, rng: Random, imports: float = 0, tail: float = 0
) -> psutil.Process | None:
    """Wait for a random moment of a stage; gives its process, which may be over by then.

    Its time is that of the undisturbed run. Most moments are from after its imports, which take longer than the work
    of some.

    Args:
        bench: The project.
        stage: The stage.
        run: The command that runs it.
        rng: Which moment.
        imports: Share of the moments that are drawn from all of its time, imports too.
        tail: Seconds after its end that may be drawn too.

    Returns:
        The process of the stage; None if the command ended without one.
    """
    process = None
    while process is None and run.process.poll() is None:
        time.sleep(0.005)
        process = bench.stage_process()
    started, seconds = time.monotonic(), bench.seconds[stage] + tail
    if process is not None and rng.random() >= imports:
        while run.process.poll() is None and not _at_work(process):
            time.sleep(0.005)
        seconds = max(0.2, seconds - (time.monotonic() - started))
    end = time.monotonic() + rng.uniform(0, seconds)
    while time.monotonic() < end and run.process.poll() is None:
        time.sleep(0.005)
    return process


def _at_work(process: psutil.Process) -> bool:
    """Whether a stage is past its imports and not yet past its end: it holds the locks of its outputs."""
    lines = map(str.split, Path("/proc/locks").read_text(encoding="ascii").splitlines())
    return any(words[1] == "POSIX" and str(process.pid) in words for words in lines)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _strike(bench: Bench, stage: str, run: Run, target: str, rng: Random) -> str | None:
    """Kill at a random moment; gives what was hit, None if all was over."""
    process = _moment(bench, stage, run, rng, imports=0.25, tail=1 if target == "group" else 0)
    works = process is not None and _lives(process)
    if run.process.poll() is not None or (target == "stage" and not works):
        return None
    if target == "group":
        run.kill_group()
    elif target == "stage":
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        run.wait()
    else:
        run.process.kill()
        run.process.wait()
    if not works:
        return "hit DVC after the stage"
    return "hit with state saved" if bench.saved() else "hit before any was saved"


def _beside(bench: Bench, stage: str, first: Run, saved: bool, rng: Random, outcome: Outcome) -> bool:
    """The stage of a killed dvc goes on. A new run must refuse, or start to work only when that has ended.

    Half of the time the stage is paused meanwhile, since its seconds stand for the hours of a real one.

    Returns:
        Whether the new run did the stage.
    """
    orphan = bench.stage_process()
    paused = orphan is not None and _at_work(orphan) and rng.random() < 0.5
    if paused:
        orphan.suspend()
    outcome.recover(bench)
    second = bench.launch_stage(stage)
    released = worked = float("inf")
    while second.process.poll() is None:
        if released == float("inf") and (orphan is None or not _at_work(orphan)):
            released = time.monotonic()
        if worked == float("inf") and _WORKS.search(second.text):
            worked = time.monotonic()
        writers = {path.name.split(".")[-2] for path in _drafts(bench, stage)}
        outcome.require(len(writers) < 2, f"{stage}: two processes write beside each other")
        time.sleep(0.02)
    if paused:
        orphan.resume()
    outcome.require("Traceback" not in second.text, f"{stage}: a traceback", second)
    done = second.process.returncode == 0
    if REFUSES in second.text:
        outcome.counts["a second run refused"] += 1
        outcome.require("exited with 1" in second.text, f"{stage}: the second run did not exit with 1", second)
        named = orphan is not None and f"process {orphan.pid} " in second.text
        outcome.require(named, f"{stage}: the second run does not name the process", second)
    elif outcome.require(done, f"{stage}: the second run failed otherwise", second):
        outcome.counts["a second run came after its end"] += 1
        # It may have come before the first one was past its imports; then that gave way.
        apart = released <= worked or REFUSES in first.text
        outcome.require(apart, f"{stage}: a second run worked beside the first")
        _note_resumed(outcome, second, saved)
    if orphan is not None:
        psutil.wait_procs([orphan], timeout=PATIENCE)
        outcome.require(not orphan.is_running(), f"{stage}: the stage of a killed dvc hangs")
    return done


def _drafts(bench: Bench, stage: str) -> Iterator[Path]:
    """What processes that live have half-written beside the outputs of a stage."""
    for out in map(bench.folder.joinpath, bench.outs(stage)):
        for path in out.parent.glob(f".{out.name}.*.tmp"):
            pid = path.name.split(".")[-2]
            if pid.isdecimal() and psutil.pid_exists(int(pid)):
                yield path


def signal_series(bench: Bench, stage: str, number: signal.Signals, rng: Random) -> Outcome:
    """Ask a stage to stop at a random moment of its work, then let it get to its end."""
    outcome = Outcome(SIGNALS[number])
    for _ in range(5):  # a moment that comes after the end hits nothing
        bench.forget(stage)
        run = bench.launch_stage(stage)
        process = _moment(bench, stage, run, rng)
        if process is not None and _lives(process):
            process.send_signal(number)
        if run.wait() == 0:
            continue
        outcome.times += 1
        said, saved = SAVED in run.text, bool(bench.saved())
        ends = [f"exited with {status}" for status in (128 + number, -number)]  # the latter while Python itself ends
        outcome.counts["state saved" if said else "nothing to save"] += 1
        outcome.require(any(end in run.text for end in ends), f"{stage}: not ended by {number.name}", run)
        outcome.require("Traceback" not in run.text, f"{stage}: a traceback after {number.name}", run)
        outcome.require(said == saved, f"{stage}: what it says of saving is not so", run)
        last = bench.launch_stage(stage)
        outcome.finish(bench, [stage], last, f"{stage}, after {number.name}")
        _note_resumed(outcome, last, saved)
        outcome.require(not saved or RESUMES in last.text, f"{stage}: it did not resume what was saved", last)
        break
    return outcome


def kill_while_dvc_writes(bench: Bench, stage: str) -> Outcome:
    """Kill dvc in the moment in which it has begun to write dvc.lock, the worst one there is."""
    outcome, cut = Outcome("kill -9 of dvc while it writes dvc.lock"), 0
    path = bench.lock_file(stage)
    while not cut and outcome.require(outcome.times < 10, f"{stage}: dvc.lock was never hit"):
        outcome.times += 1
        bench.forget(stage)
        size = path.stat().st_size
        run = bench.launch_stage(stage)
        while run.process.poll() is None and path.stat().st_size == size:
            time.sleep(0.001)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.wait()
        cut = outcome.recover(bench)
    outcome.finish(bench, [stage], bench.launch_stage(stage), f"{stage}, after {outcome.fault}")
    return outcome
