"""What a fault did, and the table of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.chaos.bench import Bench, Run

COLUMNS = ("fault", "times", "lost", "differing", "notes")


@dataclass
class Outcome:
    """What one kind of fault did.

    Attributes:
        fault: What was done.
        times: How often.
        lost: Runs that did not get to their end afterwards by the documented commands.
        differing: Files whose bytes are not those of the undisturbed run.
        counts: What happened how often, for the notes.
        killed: Kinds of stages that were killed, and how often.
        problems: What must not be.
        skipped: Why it was not done.
    """

    fault: str
    times: int = 0
    lost: int = 0
    differing: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    skipped: str = ""

    def add(self, other: Outcome) -> None:
        """Take in another one of the same fault."""
        self.times += other.times
        self.lost += other.lost
        self.differing += other.differing
        self.counts += other.counts
        self.killed += other.killed
        self.problems += other.problems
        self.skipped = self.skipped or other.skipped

    @property
    def failed(self) -> bool:
        return bool(self.lost or self.differing or self.problems)

    def require(self, condition: bool, problem: str, run: Run | None = None) -> bool:
        """Note a problem, with the end of what a command said, unless a condition holds."""
        if not condition:
            said = "".join(f"\n    {line[:200]}" for line in run.text.strip().splitlines()[-6:]) if run else ""
            self.problems.append(problem + said)
        return condition

    def recover(self, bench: Bench) -> int:
        """Begin as `make repro` does; gives the number of files that were cut short."""
        recovered = bench.recover()
        for name in recovered:
            self.counts[f"{name} cut short, recovered"] += 1
        return len(recovered)

    def compare(self, bench: Bench, stages: Iterable[str], where: str) -> None:
        """See that outputs are those of the undisturbed run, byte for byte."""
        for stage in stages:
            names = bench.differing(stage)
            self.differing += len(names)
            self.require(not names, f"{where}: other bytes in {', '.join(names)}")

    def finish(self, bench: Bench, stages: Iterable[str], run: Run, where: str) -> None:
        """See that a run gets to its end with the bytes of the undisturbed one, and leaves nothing behind."""
        status = run.wait()
        if not self.require(status == 0, f"{where}: exit status {status}", run):
            self.lost += 1
            return
        self.compare(bench, stages, where)
        left = bench.left_over()
        self.require(not left, f"{where}: left behind: {'; '.join(left)}")

    def row(self) -> list[str]:
        notes = self.skipped or ", ".join(f"{name}: {count}" for name, count in sorted(self.counts.items()))
        return [self.fault, *map(str, (self.times, self.lost, self.differing)), notes]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
