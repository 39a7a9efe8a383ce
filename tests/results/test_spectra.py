"""Spectra of the covariance of samples, by model."""

import pytest

from reflowbench.results.access import Results
from reflowbench.results.spectra import spectra
from reflowbench.results.table import gather, to_csv
from reflowbench.runtime.evaluations import BASE
from tests.results.cells import GRID, SEEDS, edit, grid, lose, results_of, write_cells


def spectra_of(folder, grid_=GRID):
    return spectra(results_of(folder, grid_), grid_, folder, {})


def put(folder, method, seed, k, values):
    edit(folder, method, seed, k, lambda cell: cell.update(spectrum=values))


def test_a_column_for_every_model_is_its_mean_over_seeds(evaluations):
    for seed in SEEDS:
        put(evaluations, "rca", seed, 2, [6.0 + seed, 3.0 * seed, 1.0, 0.0])
    found = spectra_of(evaluations)
    models = [f"{method}_k{k}" for method in ("reflow", "rca") for k in (0, 1, 2)]
    assert list(found.columns) == ["index", "real", *models]
    assert found["index"].tolist() == [0, 1, 2, 3] and found["real"].tolist() == [4, 3, 2, 0]
    assert found["rca_k2"].tolist() == pytest.approx([7, 3, 1, 0])
    assert found["reflow_k2"].tolist() == [2, 2, 1, 0] and found["reflow_k1"].tolist() == [3, 2, 1, 0]
    assert found["reflow_k0"].tolist() == found["rca_k0"].tolist() == [4, 2, 1, 0], "the base model"


def test_a_model_without_a_spectrum_in_some_seed_has_no_column(evaluations):
    lose(evaluations, "rca", 1, 2)
    found = spectra_of(evaluations)
    assert "rca_k2" not in found and {"rca_k0", "rca_k1", "reflow_k2"} <= set(found.columns)
    lose(evaluations, BASE, 0, 0)
    found = spectra_of(evaluations)
    assert list(found.columns) == ["index", "real", "reflow_k1", "reflow_k2", "rca_k1"]
    assert found["real"].tolist() == [4, 3, 2, 0]
    assert to_csv(found).splitlines()[1] == "0,4,3,2,3"


def test_methods_have_the_spectrum_of_their_own_base(tmp_path):
    write_cells(tmp_path, bases=("base_independent", "base_ot"))
    for seed in SEEDS:
        put(tmp_path, "base_ot", seed, 0, [9.0, 8.0, 7.0, 6.0])
    bases = {"reflow": "base_independent", "rca": "base_ot"}
    results = Results(gather(tmp_path, GRID, "test", bases)[0])
    found = spectra(results, GRID, tmp_path, bases)
    assert found["reflow_k0"].tolist() == [4, 2, 1, 0] and found["rca_k0"].tolist() == [9, 8, 7, 6]


def test_only_the_rounds_that_the_grid_evaluates_have_columns(evaluations):
    found = spectra_of(evaluations, grid_=grid(rounds=[2], methods=["rca"]))
    assert list(found.columns) == ["index", "real", "rca_k0", "rca_k2"]
