"""Two `dvc repro` at once in one checkout."""

import time
from random import Random

from tests.chaos.bench import Bench
from tests.chaos.outcome import Outcome


def two_at_once(bench: Bench, stages: list[str], target: str, rng: Random) -> Outcome:
    """Start two where several stages must run; one more afterwards makes everything right."""
    outcome = Outcome("two `dvc repro` at once", times=1)
    bench.forget(*stages)
    command = ("dvc", "repro", "--no-run-cache", target)
    first = bench.launch(*command)
    time.sleep(rng.choice((0, 0, rng.uniform(0, 10))))
    second = bench.launch(*command)
    for run in (first, second):
        status = run.wait()
        outcome.counts["got to its end" if status == 0 else "gave way with a message"] += 1
        outcome.require(status is not None, "two at once: one hangs", run)
        outcome.require("Traceback" not in run.text, "two at once: a traceback", run)
        outcome.require(status == 0 or "ERROR" in run.text, "two at once: no message", run)
    outcome.recover(bench)
    outcome.finish(bench, bench.expected, bench.launch(*command), "two at once, one more run")
    return outcome
