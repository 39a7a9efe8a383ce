"""Gathering: exactly the grid's cells, complete, comparable, as text that reads back the same."""

import pandas as pd
import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.results.access import Results
from reflowbench.results.table import COLUMNS, Cell, cells, folder_of, gather, read_table, to_csv
from reflowbench.runtime.artifacts import write_json
from reflowbench.runtime.evaluations import BASE, cell_folder
from tests.results.cells import FD, GRID, METHODS, edit, grid, lose, results_of, write_cells


def test_the_table_is_tidy_complete_and_round_trips(evaluations, tmp_path):
    table, strangers = gather(evaluations, GRID, "test", {})
    assert list(table.columns) == COLUMNS and strangers == []
    assert len(table.groupby(["method", "seed", "round"])) == 18
    assert not table.duplicated([c for c in COLUMNS if c not in ("value", "error", "missing")]).any()
    (tmp_path / "results.csv").write_text(to_csv(table))
    pd.testing.assert_frame_equal(read_table(tmp_path / "results.csv"), table)
    assert to_csv(read_table(tmp_path / "results.csv")) == to_csv(table)


def test_round_zero_of_every_method_is_the_base_model(evaluations):
    lose(evaluations, BASE, 1, 0, ["coverage"])
    edit(
        evaluations,
        BASE,
        1,
        0,
        lambda cell: [row.update(value=11.5) for row in cell["measurements"] if row["value"] == 10],
    )
    table, _ = gather(evaluations, GRID, "test", {})
    first = table[table["round"] == 0]
    reflow, rca = (first[first["method"] == method].drop(columns="method") for method in METHODS)
    pd.testing.assert_frame_equal(reflow.reset_index(drop=True), rca.reset_index(drop=True))
    assert Results(table).per_seed("rca", 0, FD, 50) == [10.0, 11.5, 10.0]
    errors = rca[(rca["metric"] == FD) & (rca["nfe"] == 50)].sort_values("seed")["error"]
    assert list(errors) == [0.25] * 3


def test_methods_start_from_the_base_that_is_named_for_them(tmp_path):
    """The ablations has base models of several couplings."""
    write_cells(tmp_path, lambda method, seed, k, nfe: 5.0 if method == "base_ot" else 10.0, (BASE, "base_ot"))
    table, strangers = gather(tmp_path, GRID, "test", {"rca": "base_ot"})
    assert strangers == []
    assert Results(table).per_seed("reflow", 0, FD, 50) == [10.0] * 3
    assert Results(table).per_seed("rca", 0, FD, 50) == [5.0] * 3
    assert set(table["method"]) == set(METHODS)
    # a base that no method starts from is left over
    assert gather(tmp_path, GRID, "test", {})[1] == [str(tmp_path / f"base_ot/s{seed}/round0") for seed in (0, 1, 2)]
    with pytest.raises(ReflowbenchError, match=r"base_x/s0/round0/metrics.json: no such file"):
        gather(tmp_path, GRID, "test", {"rca": "base_x"})


def test_only_the_rounds_that_the_grid_evaluates_are_read(evaluations):
    table, strangers = gather(evaluations, grid(rounds=[2]), "test", {})
    assert Results(table).rounds == [0, 2]
    assert strangers == [
        str(cell_folder(evaluations, method, seed, 1)) for method in ("rca", "reflow") for seed in (0, 1, 2)
    ]


def twice(cell):
    cell["training"]["updates"] *= 2


@pytest.mark.parametrize("k", [1, 2])
def test_unequal_updates_are_no_comparison(evaluations, k):
    for seed in (0, 1, 2):
        edit(evaluations, "rca", seed, k, twice)
    message = rf"round {k} was trained for unequal updates \({{'rca': \[20\], 'reflow': \[10\]}}\).*run `dvc repro`"
    with pytest.raises(ReflowbenchError, match=message):
        gather(evaluations, GRID, "test", {})


def test_unequal_updates_of_one_seed_are_no_comparison(evaluations):
    edit(evaluations, "rca", 1, 2, twice)
    with pytest.raises(ReflowbenchError, match=r"round 2 was trained for unequal updates.*'rca': \[10, 20\]"):
        gather(evaluations, GRID, "test", {})


def test_rounds_may_differ_in_their_updates(evaluations):
    """As the base model does: methods are compared within a round."""
    for method in METHODS:
        for seed in (0, 1, 2):
            edit(evaluations, method, seed, 2, twice)
    results = results_of(evaluations)
    assert [results.per_seed("rca", k, "updates") for k in (0, 1, 2)] == [[70] * 3, [10] * 3, [20] * 3]


@pytest.mark.parametrize(("method", "k"), [("rca", 2), (BASE, 0)])
def test_a_missing_cell_is_an_error_and_a_left_over_one_is_named(evaluations, method, k):
    left_over = cell_folder(evaluations, method, 0, 3)
    cell_folder(evaluations, method, 0, k).rename(left_over)
    with pytest.raises(ReflowbenchError, match=rf"{method}/s0/round{k}/metrics.json: no such file"):
        gather(evaluations, GRID, "test", {})
    left_over.rename(cell_folder(evaluations, method, 0, k))
    strangers = [evaluations / "ocar/s0/round1", evaluations / "rca/s0/round0"]
    for folder in strangers:
        folder.mkdir(parents=True)
        write_json(folder / "metrics.json", {})
    table, found = gather(evaluations, GRID, "test", {})
    assert found == [str(folder) for folder in strangers] and "ocar" not in set(table["method"])


@pytest.mark.parametrize("content", [{}, {"measurements": 1}])
def test_what_is_no_evaluation_is_named(evaluations, content):
    write_json(cell_folder(evaluations, "rca", 1, 1) / "metrics.json", content)
    with pytest.raises(ReflowbenchError, match=r"rca/s1/round1/metrics.json: not an evaluation"):
        gather(evaluations, GRID, "test", {})


def test_a_table_with_other_columns_is_refused(tmp_path):
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ReflowbenchError, match="results.csv: columns"):
        read_table(tmp_path / "results.csv")


def test_cells_and_their_folders_are_those_of_the_grid(tmp_path):
    found = cells(grid(seeds=[1], rounds=[2]))
    assert found == [Cell("reflow", 1, 0), Cell("reflow", 1, 2), Cell("rca", 1, 0), Cell("rca", 1, 2)]
    folders = [folder_of(cell, tmp_path, {"rca": "base_ot"}) for cell in found]
    assert [str(path.relative_to(tmp_path)) for path in folders] == [
        "base/s1/round0", "reflow/s1/round2", "base_ot/s1/round0", "rca/s1/round2"]  # fmt: skip


def test_missing_values_and_their_reasons_survive_the_file(evaluations, tmp_path):
    """An empty cell, not a zero, a text or a dropped row; a reason may hold what CSV must quote."""
    reason = 'no "finite", usable\nsample'
    lose(evaluations, "rca", 1, 2, [FD, "recall"], reason)
    table, _ = gather(evaluations, GRID, "test", {})
    (tmp_path / "results.csv").write_text(to_csv(table))
    read = read_table(tmp_path / "results.csv")
    assert to_csv(read) == to_csv(table) and len(read) == len(table)
    absent = read[read["value"].isna()]
    assert set(zip(absent["method"], absent["seed"], absent["round"], strict=True)) == {("rca", 1, 2)}
    assert sorted(absent["metric"].unique()) == [FD, "recall"] and set(absent["missing"]) == {reason}
    assert absent["error"].isna().all() and (read[read["value"].notna()]["missing"] == "").all()
    values = Results(read).per_seed("rca", 2, FD, 50)
    assert values[0] == values[2] == 12.0 and values[1] != values[1]


def test_nine_digits_of_a_value_are_kept(evaluations, tmp_path):
    awkward = [1 / 3, 1e-13 / 7, 123456789.0]

    def change(cell):
        rows = [row for row in cell["measurements"] if row["metric"] == FD]
        for row, value in zip(rows, awkward, strict=True):
            row.update(value=value, error=value / 3)

    edit(evaluations, "rca", 0, 1, change)
    (tmp_path / "results.csv").write_text(to_csv(gather(evaluations, GRID, "test", {})[0]))
    read = read_table(tmp_path / "results.csv")
    rows = read[(read["method"] == "rca") & (read["seed"] == 0) & (read["round"] == 1) & (read["metric"] == FD)]
    assert rows["value"].tolist() == pytest.approx(awkward, rel=1e-8)
    assert rows["error"].tolist() == pytest.approx([value / 3 for value in awkward], rel=1e-8)
