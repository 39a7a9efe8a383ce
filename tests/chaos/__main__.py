"""The fault campaign: what kills, full disks, second runs, clocks and turned bits do to a run of the pipeline.

Each fault is done to a real run of DVC in a copy of the project, and each ends with the same question: does the next
run get to its end, with the bytes of an undisturbed one? `python -m tests.chaos`; the result is a table.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from random import Random

from tests.chaos.bench import LONG, SHORT, THEORY_PREFIX, Bench
from tests.chaos.clock import clock_jumps
from tests.chaos.damage import flipped_bit
from tests.chaos.disk import FULL, READ_ONLY, disk_fault
from tests.chaos.kills import TARGETS, kill_series, kill_while_dvc_writes, signal_series
from tests.chaos.outcome import COLUMNS, Outcome, table
from tests.chaos.two_runs import two_at_once
from tests.pipeline.project import address

KINDS = ("kill", "signal", "lock", "disk", "concurrent", "clock", "damage")
Task = tuple[str, Callable[[Bench, Random], Outcome]]

ENCODE, PAIRS, REGENERATE, TRAINING, REFLOW, OCAR, EVALUATION = map(
    address,
    (
        "encode",
        "generate_pairs@rca-0-1",
        "rca_regenerate@rca-0-1",
        "rca@rca-0-1",
        "reflow@reflow-0-1",
        "ocar@ocar-0-1",
        "evaluate@rca-0-1",
    ),
)
CHAIN = [PAIRS, REGENERATE, TRAINING, EVALUATION]
WORKING = ["train_features", "train_base@0", *CHAIN, REFLOW, OCAR, "evaluate_base@0"]
GAUSSIAN, *BRIEF_THEORY = (
    f"{THEORY_PREFIX}{name}"
    for name in ("theory_gaussian@rca", "theory_gaussian_base", "theory_dae@0.1", "theory_phase", "theory_report")
)
BRIEF = ["prepare_data", ENCODE, "summarize", "report", GAUSSIAN, *BRIEF_THEORY]
ROUND = "runs/chains/rca/s0/round1"
MODEL = (TRAINING, f"{ROUND}/model/model.safetensors", EVALUATION)
SHARD = (PAIRS, f"{ROUND}/synthetic/shard-00000.safetensors", TRAINING)
METRICS = (EVALUATION, "runs/evaluations/rca/s0/round1/metrics.json", "summarize")


def long_tasks(kills: int, rng: Random) -> Iterator[Task]:
    """All faults; the kills go round all kinds of stages."""
    for fault in (FULL, READ_ONLY):
        yield "disk", lambda b, r, f=fault: disk_fault(b, f, [TRAINING, PAIRS], False, r)
    for stages, target in ((CHAIN, EVALUATION), (CHAIN[1:], EVALUATION), (CHAIN, "report")):
        yield "concurrent", lambda b, r, s=stages, t=target: two_at_once(b, s, t, r)
    for flipped in (MODEL, SHARD, METRICS, MODEL, SHARD):
        yield "damage", lambda b, r, f=flipped: flipped_bit(b, *f, r)
    for stage in (TRAINING, PAIRS, EVALUATION, OCAR):
        yield "clock", lambda b, r, s=stage: clock_jumps(b, s, r)
    for number in (signal.SIGTERM, signal.SIGINT):
        for stage in [*WORKING, "report", GAUSSIAN]:
            yield "signal", lambda b, r, s=stage, n=number: signal_series(b, s, n, r)
    for stage in (ENCODE, TRAINING):
        yield "lock", lambda b, r, s=stage: kill_while_dvc_writes(b, s)
    yield from kill_tasks(kills, rng)


def short_tasks() -> Iterator[Task]:
    """One of each fault, and a few kills of the main kinds."""
    for stage, target, times in ((PAIRS, "group", 2), (TRAINING, "dvc", 1), (EVALUATION, "stage", 1)):
        yield "kill", lambda b, r, s=stage, t=target, n=times: kill_series(b, s, t, n, r)
    for fault, stage in ((FULL, TRAINING), (READ_ONLY, ENCODE)):
        yield "disk", lambda b, r, f=fault, s=stage: disk_fault(b, f, [s], True, r)
    yield "concurrent", lambda b, r: two_at_once(b, [ENCODE, TRAINING, EVALUATION], EVALUATION, r)
    yield "damage", lambda b, r: flipped_bit(b, *SHARD, r)
    yield "clock", lambda b, r: clock_jumps(b, TRAINING, r)
    for stage, number in ((TRAINING, signal.SIGTERM), (EVALUATION, signal.SIGINT)):
        yield "signal", lambda b, r, s=stage, n=number: signal_series(b, s, n, r)


def kill_tasks(kills: int, rng: Random) -> Iterator[Task]:
    """Series of kills: two or three in a row for a stage that works a while, one for another."""
    left, number = kills, 0
    while left:
        stages = [*WORKING, *BRIEF]
        rng.shuffle(stages)
        for stage in stages:
            times = min(left, rng.choice((2, 3)) if stage in WORKING else 1)
            target = list(TARGETS)[number % len(TARGETS)]
            yield "kill", lambda b, r, s=stage, t=target, n=times: kill_series(b, s, t, n, r)
            left -= times
            number += 1
            if not left:
                return


def campaign(tasks: list[Task], bench: Bench, seed: int, jobs: int) -> dict[str, Outcome]:
    """Do all faults, some at a time."""
    lanes: SimpleQueue[Bench] = SimpleQueue()
    for number in range(jobs):
        lanes.put(bench.copy(bench.folder.with_name(f"lane{number}")))

    def do(number: int) -> Outcome:
        started, lane = time.monotonic(), lanes.get()
        outcome = tasks[number][1](lane, Random(f"{seed} {number}"))
        if outcome.failed:  # its traces are no fault of the next one
            lane = bench.copy(lane.folder.with_name(f"lane{number}-{lane.folder.name}"))
        lanes.put(lane)
        state = "FAILED" if outcome.failed else outcome.skipped or "ok"
        print(f"{time.monotonic() - started:6.1f} s  {outcome.fault}: {state}", flush=True)
        return outcome

    results: dict[str, Outcome] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for outcome in pool.map(do, range(len(tasks))):
            results.setdefault(outcome.fault, Outcome(outcome.fault)).add(outcome)
    for _ in range(jobs):
        _see_to_the_whole(lanes.get(), results)
    return results


def _see_to_the_whole(lane: Bench, results: dict[str, Outcome]) -> None:
    """After all faults, everything is as in the undisturbed run, and DVC has nothing to do."""
    outcome = Outcome("all of them, one after the other", times=1)
    outcome.finish(lane, lane.expected, lane.launch("dvc", "repro", *lane.targets), "in the end")
    results.setdefault(outcome.fault, Outcome(outcome.fault)).add(outcome)


def main() -> None:
    """Run the campaign; exit with 1 if anything was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="how many kill -9, if not --short (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what is hit when (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time, each in a copy (default: %(default)s)")
    parser.add_argument("--short", action="store_true", help="one of each fault, in less than 3 minutes")
    parser.add_argument("--only", choices=KINDS, help="one kind of fault")
    parser.add_argument("--report", type=Path, help="write the result as Markdown")
    parser.add_argument("--keep", type=Path, help="work in this new folder, and leave it there")
    args = parser.parse_args()
    # A handler of its own, and not "ignored" as in a background job: what is started inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    tasks = short_tasks() if args.short else long_tasks(args.kills, Random(args.seed))
    tasks = [task for task in tasks if args.only in (None, task[0])]
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        params, targets = (SHORT, [EVALUATION]) if args.short else (LONG, ["report", "theory/dvc.yaml"])
        bench = Bench(folder / "base", folder / "logs", params, targets)
        print(f"{time.monotonic() - started:6.1f} s  the undisturbed run", flush=True)
        results = campaign(tasks, bench, args.seed, args.jobs)
    killed = sum((outcome.killed for outcome in results.values()), Counter())
    text = table(COLUMNS, [outcome.row() for outcome in results.values()])
    if killed:
        text += f"\nkill -9 by kind of stage: {', '.join(f'{kind} {n}' for kind, n in killed.most_common())}.\n"
    problems = [f"- {problem}\n" for outcome in results.values() for problem in outcome.problems]
    print(f"\n{text}\n{''.join(problems)}{time.monotonic() - started:.0f} s in all")
    if args.report:
        args.report.write_text(text, encoding="utf-8")
    sys.exit(any(outcome.failed for outcome in results.values()))


if __name__ == "__main__":
    main()
