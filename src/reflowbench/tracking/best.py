"""Which cell of the grid is the best one, whose model is registered."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

from reflowbench.core.schemes import ADAPTIVE
from reflowbench.tracking.records import TREND, Row


def best_cell(rows: Sequence[Row]) -> tuple[str, int, int] | None:
    """Choose the trained model with the lowest Frechet distance at the fewest network evaluations.

    The fewest, because images in few steps are what Reflow is for: it straightens the flow so that a step
    of the solver may be long. At many steps the base model, which was trained on real images alone, is
    hard to beat, and the choice would be that of the round that did the least harm.

    Method and round are chosen by the mean over seeds, so that no lucky seed decides; a model is one of
    a seed, so that the best seed of that method and round is taken. Ties go to what is first in the table.

    Args:
        rows: All results.

    Returns:
        Method, seed and round (at least 1: round 0 is the base model). None if no method and round has a
        finite distance for each of its seeds with the fixed solver. Of several feature spaces or solvers, the
        first in the table counts.
    """
    trained = [row for row in rows if row.metric == TREND and row.round >= 1 and row.solver not in ("", ADAPTIVE)]
    fewest = min((row.nfe for row in trained), default=0)
    few = [row for row in trained if row.nfe == fewest]
    cells: dict[tuple[str, int], dict[int, float | None]] = defaultdict(dict)
    for row in few:
        if (row.features, row.solver) == (few[0].features, few[0].solver):
            cells[row.method, row.round][row.seed] = row.value
    finite: dict[tuple[str, int], dict[int, float]] = {}
    for cell, seeds in cells.items():
        values = {seed: value for seed, value in seeds.items() if value is not None and math.isfinite(value)}
        if len(values) == len(seeds):
            finite[cell] = values
    if not finite:
        return None
    method, round_ = min(finite, key=lambda cell: statistics.fmean(finite[cell].values()))
    chosen = finite[method, round_]
    return method, min(chosen, key=lambda seed: chosen[seed]), round_
