"""The comparison of two revisions as headings, sentences and tables, independent of the output format."""

from __future__ import annotations

from dataclasses import dataclass

from reflowbench.compare.cells import CHANGED, GONE, NEW, SAME, CellChanges, changed_cells
from reflowbench.compare.headline import (
    EQUAL,
    FD,
    TRAINING_PASS,
    Difference,
    comparable,
    differences,
    number,
)
from reflowbench.compare.parameters import ParameterChange, changed_parameters
from reflowbench.compare.revisions import Snapshot
from reflowbench.results.access import Results
from reflowbench.results.statistics import CONFIDENCE
from reflowbench.results.verdicts import GROWS, INCONCLUSIVE, MARGIN, SHRINKS, STABLE

BETTER, WORSE = "(better)", "(worse)"
"""How the last cell of a row ends where a change is for the better or the worse."""
_LISTED = 12
"""Names of measurements that are listed; of the others, the number is given."""


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the page's."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table of text; `numbers` says which columns are set to the right."""

    header: list[str]
    rows: list[list[str]]
    numbers: tuple[int, ...] = ()


Block = Heading | Text | Table


def compare(before: Snapshot, after: Snapshot) -> list[Block]:
    """Compare two revisions.

    Args:
        before: The first.
        after: The second.

    Returns:
        The page.

    Raises:
        ReflowbenchError: If their results have no round, NFE or solver in common.
    """
    results = comparable(before.table, after.table)
    return [
        Heading(f"{before.name} → {after.name}", 1),
        *_profiles(before, after),
        *_parameters(changed_parameters(before.params, after.params)),
        *_cells(changed_cells(before.table, after.table)),
        *_headlines(*results, differences(*results)),
    ]


def _profiles(before: Snapshot, after: Snapshot) -> list[Block]:
    if before.profile == after.profile:
        return [Text(f"Profile {after.profile}.")]
    return [Text(f"Different profiles: {before.profile} → {after.profile}. Numbers differ for that alone.")]


def _parameters(changes: list[ParameterChange]) -> list[Block]:
    if not changes:
        return [Heading("Parameters"), Text("No parameter differs.")]
    rows = [[change.path, change.before, change.after] for change in changes]
    return [Heading("Parameters"), Table(["parameter", "before", "after"], rows)]


def _cells(changes: CellChanges) -> list[Block]:
    counts = {state: changes.count(state) for state in (SAME, CHANGED, NEW, GONE)}
    words = {SAME: "with the same numbers", CHANGED: "with other numbers", NEW: "new", GONE: "gone"}
    blocks: list[Block] = [
        Heading("Cells of the grid"),
        Text("Cells: " + ", ".join(f"{n} {words[state]}" for state, n in counts.items() if n) + "."),
    ]
    rounds = sorted({k for _, _, k in changes.states})
    by_row: dict[tuple[str, int], dict[int, str]] = {}
    for (method, seed, k), state in changes.states.items():
        by_row.setdefault((method, seed), {})[k] = state
    rows = [
        [method, str(seed), *(found.get(k, "") for k in rounds)]
        for (method, seed), found in by_row.items()
        if set(found.values()) != {SAME}
    ]
    if rows:
        blocks.append(Table(["method", "seed", *(f"k = {k}" for k in rounds)], rows))
    for names, what in ((changes.added, "Measured now only"), (changes.removed, "Measured before only")):
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            blocks.append(Text(f"{what}: {'; '.join(names[:_LISTED])}{more}."))
    return blocks


def _headlines(before: Results, after: Results, found: list[Difference]) -> list[Block]:
    blocks: list[Block] = [Heading(f"Headline metrics after round {before.last}")]
    moved = sorted((d for d in found if d.word != EQUAL), key=lambda d: before.methods.index(d.method))
    header = ["method", "metric", "before", "after", "difference", "p", ""]
    if moved:
        blocks.append(Table(header, [_row(d) for d in moved], numbers=(2, 3, 4, 5)))
    methods = [method for method in before.methods if method in {d.method for d in found}]
    unmoved = [method for method in methods if method not in {d.method for d in moved}]
    if unmoved:
        blocks.append(Text(f"The same numbers in all of them: {', '.join(unmoved)}."))
    for names, what in (
        ([m for m in after.methods if m not in methods], "New methods"),
        ([m for m in before.methods if m not in methods], "Methods that are gone"),
    ):
        if names:
            blocks.append(Text(f"{what}: {', '.join(names)}."))
    blocks += map(Text, _conditions(before, after))
    tested = sum(d.p is not None for d in moved)
    if tested > 1:
        blocks.append(
            Text(
                f"{tested} differences are tested one by one. By chance alone, about {tested * (1 - CONFIDENCE):.1g} "
                "of their intervals would exclude 0."
            )
        )
    return blocks


def _row(d: Difference) -> list[str]:
    change = "" if d.change.mean != d.change.mean else number(d.change)
    p = "" if d.p is None else f"{d.p:.1g}"
    word = " ".join(filter(None, [d.word, {1: BETTER, -1: WORSE}.get(d.better)]))
    return [d.method, d.metric, d.before, d.after, change, p, word]


def _conditions(before: Results, after: Results) -> list[str]:
    """What the numbers are, and how words follow from them."""
    if before.seeds == after.seeds:
        many = f"{len(before.seeds)} seed{'s' * (len(before.seeds) > 1)}"
        seeds = f"over {many}, the same in both: differences are taken seed by seed"
    else:
        seeds = f"over seeds {_list(before.seeds)} and {_list(after.seeds)}: differences of means (Welch)"
    alone = 1 in (len(before.seeds), len(after.seeds))
    single = " A single seed has none, so its differences are inconclusive: use more `grid.seeds`." * alone
    return [
        f"Mean ± half width of the {CONFIDENCE:.0%} interval {seeds}.{single} From rounds {_list(before.rounds)} and "
        f"NFE {_list(before.nfes)} of {before.solver}, which both have; FD in {before.conditions(FD)[0]} features.",
        f"A difference is {STABLE} if its whole 95 % interval lies within {MARGIN:.0%} of the first mean, or within "
        f"{MARGIN:.0%} a round for the growth. Otherwise it {GROWS} or {SHRINKS} if the 95 % interval excludes 0. "
        f"Otherwise it is {INCONCLUSIVE}. Better are lower FD, growth and cost, higher precision and coverage, and "
        "variance_ratio closer to 1.",
        f"Cost: network evaluations of samples, where a training pass counts {TRAINING_PASS}. It is counted, so it has "
        "no uncertainty.",
    ]


def _list(values: list[int]) -> str:
    return ", ".join(map(str, values))
