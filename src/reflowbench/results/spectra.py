"""Spectra of the covariance of samples: which directions a model has lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from reflowbench.results.access import Results
from reflowbench.results.table import Cell, read_cell
from reflowbench.runtime.params import GridParams


def spectra(results: Results, grid: GridParams, evaluations: Path, bases: Mapping[str, str]) -> pd.DataFrame:
    """Eigenvalues of the covariance of images: of real ones, and of each model's samples at the highest NFE.

    Args:
        results: The table.
        grid: The cells.
        evaluations: Folder with one folder per evaluated model.
        bases: Folder of the base models by method, as for `gather`.

    Returns:
        One row per index (descending eigenvalues, from 0), a column per method and round: mean over seeds.
    """
    columns: dict[str, list[float]] = {}
    columns["real"] = read_cell(Cell(grid.methods[0], grid.seeds[0], 0), evaluations, bases)["real_spectrum"]
    for method in grid.methods:
        for k in results.rounds:
            found = [read_cell(Cell(method, seed, k), evaluations, bases)["spectrum"] for seed in grid.seeds]
            if all(found):
                columns[f"{method}_k{k}"] = np.mean(found, axis=0).tolist()
    return pd.DataFrame(columns).rename_axis("index").reset_index()
