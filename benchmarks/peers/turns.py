"""Timing of several ways of doing the same, in turn, so that all of them see the same machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from benchmarks.tables import in_words
from benchmarks.timing import seconds

Work = Mapping[str, Callable[[], object]]
Settings = Callable[[], AbstractContextManager[Any]]
"""Of torch, while something is done."""


@dataclass(frozen=True)
class Comparison:
    """One row of a table.

    Attributes:
        what: What both do, and how ours is set.
        peer: Whose way it is compared with.
        ours: Seconds of each turn.
        theirs: Those of the peer in the same turns.
        facts: Whatever else was found out: differences of results, counts.
    """

    what: str
    peer: str
    ours: list[float]
    theirs: list[float]
    facts: dict[str, float | str] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """The peer's time over ours, turn by turn: above 1 ours is faster."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def written(self) -> dict[str, object]:
        """As results.json holds it."""
        ratios = self.ratios
        spread = {"min": min(ratios), "median": median(ratios), "max": max(ratios)}
        return {
            "what": self.what,
            "peer": self.peer,
            "ratio": spread,
            "seconds": {"ours": self.ours, "peer": self.theirs},
            "facts": self.facts,
        }


def numbers_of_threads() -> Iterator[str]:
    """Go through one thread, as a stage of the default pipeline has, and all of this process; with what tables say."""
    all_ = torch.get_num_threads()
    for count in sorted({1, all_}):
        torch.set_num_threads(count)
        yield in_words(count)
    torch.set_num_threads(all_)


def in_turn(work: Work, turns: int, warm: int = 1) -> dict[str, list[float]]:
    """Seconds of each piece of work, in so many turns after those that warm up."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(warm + turns):
        for name, piece in work.items():
            spent = seconds(piece)
            if turn >= warm:
                taken[name].append(spent)
    return taken
