"""Differences between models on the same noise, and their errors, against brute force."""

import math

import numpy as np
import pandas as pd
import pytest

from reflowbench.results.paired import COLUMNS, paired
from reflowbench.results.table import to_csv
from reflowbench.runtime.evaluations import BASE
from tests.results.cells import FD, GRID, SEEDS, edit, grid, lose, results_of, write_cells


def put(folder, method, seed, groups, k=2, name="euler_50"):
    """Set Frechet distances without each group."""
    edit(folder, method, seed, k, lambda cell: cell["left_out"]["classifier"].update({name: groups}))


def rows_of(folder, grid_=GRID, k=2):
    """Rows of one round."""
    table = paired(results_of(folder, grid_), grid_, folder, {})
    return table[table["round"] == k]


def errors(table, nfe=50):
    return table[table["nfe"] == nfe].set_index("seed")["error"].to_dict()


def test_a_row_for_every_pair_seed_and_nfe(tmp_path):
    """Differences are those of the values after round 1 and 2, in the order of the seeds, whatever the grid's order."""
    write_cells(tmp_path, lambda method, seed, k, nfe: k * (nfe + seed) if method == "rca" else 1.0 * k)
    for seeds, k in (([0, 1, 2], 2), ([2, 0, 1], 2), ([0, 1, 2], 1)):
        table = rows_of(tmp_path, grid(seeds=seeds), k)
        assert list(table.columns) == COLUMNS
        assert set(table["method"]) == {"rca"} and set(table["reference"]) == {"reflow"}
        assert set(table["solver"]) == {"euler"}
        assert set(table["features"]) == {"classifier"}
        assert table.set_index(["nfe", "seed"])["difference"].to_dict() == {
            (nfe, seed): k * (nfe + seed - 1) for nfe in (1, 50) for seed in SEEDS
        }


def test_references_are_those_of_the_grid(tmp_path):
    methods = ["rca", "ot", "ocar"]
    write_cells(tmp_path, methods=methods)
    table = rows_of(tmp_path, grid(methods=methods))
    assert set(zip(table["method"], table["reference"], strict=True)) == {("rca", "ot"), ("ocar", "ot")}
    without = rows_of(tmp_path, grid(methods=["rca", "ocar"]))
    assert list(without.columns) == COLUMNS and len(without) == 0
    assert to_csv(without) == ",".join(COLUMNS) + "\n"


def test_rounds_that_are_skipped_and_every_reference(tmp_path):
    """Of rounds 1, 2 and 4 the first and the last; two references are compared once."""
    methods = ["reflow", "continued", "ot", "rca"]
    write_cells(
        tmp_path, lambda method, seed, k, nfe: k and k * methods.index(method), methods=methods, rounds=(1, 2, 4)
    )
    skipping = GRID.model_copy(update={"methods": methods, "rounds": [1, 2, 4]})
    table = paired(results_of(tmp_path, skipping), skipping, tmp_path, {})
    found = table[(table["nfe"] == 50) & (table["seed"] == 0)]
    assert found.set_index(["method", "reference", "round"])["difference"].to_dict() == {
        (methods[i], methods[j], k): k * (i - j) for i, j in ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
        for k in (1, 4)}  # fmt: skip


def test_the_error_is_the_jackknife_of_the_difference(evaluations):
    """sqrt((G - 1) / G sum (d_g - mean d)^2), with another number of groups for each seed."""
    draw, expected = np.random.default_rng(0), {}
    for seed, groups in zip(SEEDS, (2, 5, 16), strict=True):
        ours, theirs = draw.normal(size=(2, groups))
        put(evaluations, "rca", seed, list(ours))
        put(evaluations, "reflow", seed, list(theirs))
        d = [a - b for a, b in zip(ours, theirs, strict=True)]
        mean = sum(d) / groups
        expected[seed] = math.sqrt((groups - 1) / groups * sum((x - mean) ** 2 for x in d))
    assert errors(rows_of(evaluations)) == pytest.approx(expected)


def test_the_error_is_that_of_a_mean_where_the_statistic_is_one(evaluations):
    """Then the jackknife is exact: the standard error of the mean of the differences."""
    values = np.random.default_rng(1).normal(size=(2, 12))
    for method, x in zip(("rca", "reflow"), values, strict=True):
        put(evaluations, method, 0, [float(np.delete(x, g).mean()) for g in range(12)])
    d = values[0] - values[1]
    assert errors(rows_of(evaluations))[0] == pytest.approx(d.std(ddof=1) / math.sqrt(12))


def test_what_two_models_share_is_no_error(evaluations):
    """The same values, or the same but for a constant; each model alone would be uncertain."""
    shared = list(np.random.default_rng(2).normal(size=8))
    for seed, shift in zip(SEEDS, (0.0, 1.5, -3.0), strict=True):
        put(evaluations, "reflow", seed, shared)
        put(evaluations, "rca", seed, [value + shift for value in shared])
    found = errors(rows_of(evaluations))
    assert found[0] == 0 and found == pytest.approx(dict.fromkeys(SEEDS, 0.0), abs=1e-12)
    put(evaluations, "rca", 0, shared[::-1])
    assert errors(rows_of(evaluations))[0] > 1, "but the pairing matters"


def test_errors_are_read_from_the_last_round_and_their_own_nfe(evaluations):
    for seed in SEEDS:
        put(evaluations, "rca", seed, [5.0, 9.0, 4.0], k=1)
        put(evaluations, BASE, seed, [5.0, 9.0, 4.0], k=0)
        put(evaluations, "rca", seed, [1.0, 2.0, 6.0], name="euler_1")
    table = rows_of(evaluations)
    assert errors(table) == dict.fromkeys(SEEDS, 0.0)
    # differences 0, 0, 3: sqrt(2/3 (1 + 1 + 4)) = 2
    assert errors(table, nfe=1) == pytest.approx(dict.fromkeys(SEEDS, 2.0))


@pytest.mark.parametrize("method", ["rca", "reflow"])
def test_without_left_out_values_the_error_is_empty_and_the_difference_stays(evaluations, method):
    edit(evaluations, method, 1, 2, lambda cell: cell["left_out"]["classifier"].pop("euler_50"))
    edit(evaluations, method, 2, 2, lambda cell: cell.update(left_out={}))
    table = rows_of(evaluations)
    found = errors(table)
    assert found[0] == 0 and math.isnan(found[1]) and math.isnan(found[2])
    assert errors(table, nfe=1)[1] == 0
    assert (table["difference"] == 0).all()
    lines = to_csv(table[(table["nfe"] == 50) & (table["seed"] == 1)]).splitlines()
    assert lines[1] == "rca,reflow,1,2,euler,50,classifier,0,"


def test_a_missing_value_has_no_difference(evaluations):
    lose(evaluations, "rca", 1, 2, [FD])
    table = rows_of(evaluations)
    assert table.set_index(["nfe", "seed"])["difference"].isna().to_dict() == {
        (nfe, seed): seed == 1 for nfe in (1, 50) for seed in SEEDS
    }
    lose(evaluations, "reflow", 2, 2)
    read = rows_of(evaluations)
    assert read[read["seed"] == 2][["difference", "error"]].isna().all().all()
    assert pd.notna(read[read["seed"] == 0]["error"]).all()
