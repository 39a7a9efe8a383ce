"""Differences between models on the same noise, within each seed, with their standard errors over samples."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from reflowbench.core.jackknife import jackknife_error
from reflowbench.results.access import BASELINE, Results
from reflowbench.results.table import Cell, read_cell
from reflowbench.runtime.params import GridParams

CONTINUED, TRANSPORT = "continued", "ot"
REFERENCES = (BASELINE, CONTINUED, TRANSPORT)
"""Methods that others are compared with: Reflow, continued training of the base, and optimal transport."""
COLUMNS = ["method", "reference", "seed", "round", "solver", "nfe", "features", "difference", "error"]


def paired(results: Results, grid: GridParams, evaluations: Path, bases: Mapping[str, str]) -> pd.DataFrame:
    """Differences in Frechet distance to the reference methods after the first and the last round.

    Sample i of both models comes from the same noise. Each group of samples is left out of both at a
    time, so the standard error of the difference counts what they share only once.

    Args:
        results: The table.
        grid: The cells.
        evaluations: Folder with one folder per evaluated model.
        bases: Folder of the base models by method, as for `gather`.

    Returns:
        One row per method, reference, round, NFE of the fixed-step solver and seed: method minus reference, and
        the difference's standard error over samples, if known. Two references are compared once.
    """
    features = results.conditions("frechet_distance")[0]
    left_out = {
        (method, seed, k): read_cell(Cell(method, seed, k), evaluations, bases)["left_out"].get(features, {})
        for method in grid.methods
        for seed in grid.seeds
        for k in results.ends
    }
    pairs = [
        (method, reference)
        for method in grid.methods
        for reference in (REFERENCES[: REFERENCES.index(method)] if method in REFERENCES else REFERENCES)
        if reference in grid.methods
    ]
    rows = []
    for both, k, nfe in itertools.product(pairs, results.ends, results.nfes):
        values = (results.per_seed(name, k, "frechet_distance", nfe) for name in both)
        for seed, value, other in zip(results.seeds, *values, strict=True):
            groups = [left_out[name, seed, k].get(f"{results.solver}_{nfe}") for name in both]
            rows.append((*both, seed, k, results.solver, nfe, features, value - other, _error(groups)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _error(groups: Sequence[Sequence[float] | None]) -> float | None:
    first, second = groups
    return None if first is None or second is None else jackknife_error(np.subtract(first, second))
