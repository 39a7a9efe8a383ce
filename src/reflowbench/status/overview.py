"""The grid's cells and the stage groups, from the states of all stages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reflowbench.status.durations import Durations
from reflowbench.status.stages import STATES, Stage, State

BASE = "base"
_URGENCY: tuple[State, ...] = ("running", "missing", "stale", "done")
_CELL = re.compile(r"(?P<group>\w+)@(?:(?P<method>\w+)-)?(?P<seed>\d+)(?:-(?P<round>\d+))?")


@dataclass(frozen=True)
class Cell:
    """One model of the grid: all stages that make it and measure it.

    Attributes:
        method: Method; BASE for the base model.
        seed: Seed.
        round: Round.
        state: `running` if a stage runs; else `missing` or `stale` if one is; else `done`.
    """

    method: str
    seed: int
    round: int
    state: State


@dataclass(frozen=True)
class Group:
    """A group of stages of dvc.yaml.

    Attributes:
        name: Its name.
        counts: Number of stages in each state.
        spent: Seconds that the last runs of those that are done took, as far as recorded.
        expected: Seconds that the others may take; a lower bound if `untimed`.
        untimed: Number of stages to run whose script was never timed.
    """

    name: str
    counts: dict[State, int]
    spent: float
    expected: float
    untimed: int


def cells(stages: Sequence[Stage]) -> list[Cell]:
    """Sum the stages up to the models that they make and measure.

    Args:
        stages: All of them.

    Returns:
        The cells, in the order in which dvc.yaml first names them.
    """
    found: dict[tuple[str, int, int], list[State]] = {}
    for stage in stages:
        match = _CELL.fullmatch(stage.name)
        if match:
            cell = match["method"] or BASE, int(match["seed"]), int(match["round"] or 0)
            found.setdefault(cell, []).append(stage.state)
    return [Cell(*cell, next(s for s in _URGENCY if s in states)) for cell, states in found.items()]


def groups(stages: Sequence[Stage], durations: Durations) -> list[Group]:
    """Sum the stages up by group, with the time that was spent and is expected.

    Args:
        stages: All of them.
        durations: What runs took.

    Returns:
        The groups in the order of dvc.yaml.
    """
    found = []
    for name in dict.fromkeys(stage.group for stage in stages):
        members = [stage for stage in stages if stage.group == name]
        to_run = [durations.expected(stage.command) for stage in members if stage.state != "done"]
        spent = sum(durations.spent(stage.command) or 0.0 for stage in members if stage.state == "done")
        counts = Counter(stage.state for stage in members)
        expected = sum(seconds for seconds in to_run if seconds is not None)
        found.append(Group(name, {s: counts[s] for s in STATES}, spent, expected, to_run.count(None)))
    return found


def as_json(stages: Sequence[Stage], durations: Durations) -> dict[str, Any]:
    """The whole status as plain values.

    Args:
        stages: All of them.
        durations: What runs took.

    Returns:
        `stages` by name, `cells`, `groups` by name, and the seconds `spent` and `expected` of all together.
    """
    by_group = groups(stages, durations)
    return {
        "stages": {stage.name: {"state": stage.state, "reasons": list(stage.reasons)} for stage in stages},
        "cells": [vars(cell) for cell in cells(stages)],
        "groups": {g.name: vars(g) | g.counts for g in by_group},
        "spent": round(sum(group.spent for group in by_group), 2),
        "expected": round(sum(group.expected for group in by_group), 2),
        "untimed": sum(group.untimed for group in by_group),
    }
