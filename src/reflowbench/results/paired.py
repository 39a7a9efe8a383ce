"""Differences between models on the same noise, within each seed: how sure they are with the models given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from reflowbench.core.jackknife import jackknife_error
from reflowbench.core.params import GridParams
from reflowbench.results.access import BASELINE, Results
from reflowbench.results.table import Cell, read_cell

TRANSPORT = "ot"
REFERENCES = (BASELINE, TRANSPORT, "keep_training", "ot_dataset_chunk")
"""Plain Reflow; what trains on no sample of its own, as self-training has to beat it; and a study's controls."""
COLUMNS = ["method", "reference", "seed", "round", "solver", "nfe", "features", "difference", "error"]


def paired(results: Results, grid: GridParams, evaluations: Path, bases: Mapping[str, str]) -> pd.DataFrame:
    """Differences in Frechet distance to the reference methods after the last round.

    Sample i of both models comes from the same noise. Each group of samples is left out of both at a
    time, so the standard error of the difference counts what they share only once.

    Args:
        results: The table.
        grid: The cells.
        evaluations: Folder with one folder per evaluated model.
        bases: Folder of the base models by method, as for `gather`.

    Returns:
        One row per method, reference, seed and NFE of the fixed-step solver (two references are compared
        once): method minus reference, and the difference's standard error over samples, if known.
    """
    last, features = results.rounds[-1], results.conditions("frechet_distance")[0]
    left_out = {
        (method, seed): read_cell(Cell(method, seed, last), evaluations, bases)["left_out"]
        for method in grid.methods
        for seed in grid.seeds
    }
    rows = []
    for method in grid.methods:
        earlier = REFERENCES[: REFERENCES.index(method)] if method in REFERENCES else REFERENCES
        for reference in (name for name in earlier if name in grid.methods):
            for nfe in results.nfes:
                both = (results.per_seed(name, last, "frechet_distance", nfe) for name in (method, reference))
                for seed, value, other in zip(results.seeds, *both, strict=True):
                    name = f"{results.solver}_{nfe}"
                    groups = [left_out[m, seed].get(features, {}).get(name) for m in (method, reference)]
                    row = (method, reference, seed, last, results.solver, nfe, features)
                    rows.append((*row, value - other, _error(groups)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _error(groups: Sequence[Sequence[float] | None]) -> float | None:
    first, second = groups
    return None if first is None or second is None else jackknife_error(np.subtract(first, second))
