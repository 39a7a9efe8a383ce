"""What is logged, as plain values."""

import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.results import table
from reflowbench.runtime.artifacts import write_json
from reflowbench.tracking import records
from tests.tracking.made import COLUMNS, rows


def row(**changes):
    values = {"profile": "p", "method": "rca", "seed": 0, "round": 1, "solver": "euler", "nfe": 5, "features": "a"}
    values |= {"n_samples": 9, "metric": "frechet_distance", "value": 1.0, "error": 0.5, "missing": ""}
    return records.Row(**values | changes)


def test_results_are_read_as_they_were_written(bare):
    """An empty value is null in a table of MLflow."""
    path = bare / "reports/results.csv"
    read = records.read_results(path)
    assert records.results_table(read) == {"columns": COLUMNS, "data": rows()}
    assert sum(found.error is None for found in read) == sum(row[10] is None for row in rows()) > 0
    path.write_text(path.read_text().replace("frechet_distance_floor,5.5,0.25,", "frechet_distance_floor,,,too few"))
    lost = next(found for found in records.read_results(path) if found.missing)
    assert (lost.value, lost.error, lost.missing) == (None, None, "too few")


def test_an_evaluation_says_what_results_csv_says_of_it(bare):
    found = records.read_results(bare / "reports/results.csv")
    for method, seed, k, folder in (("rca", 1, 1, "rca/s1/round1"), ("reflow", 0, 0, "base/s0/round0")):
        own = records.read_evaluation(bare / f"runs/evaluations/{folder}/metrics.json", "tiny", method, seed, k)
        assert own == [row for row in found if (row.method, row.seed, row.round) == (method, seed, k)] != []


def test_an_evaluation_is_rounded_as_results_csv_is(tmp_path):
    """Nine digits there, all digits in what the stage wrote."""
    measurement = {"solver": "", "nfe": 0, "features": "", "n_samples": 0, "metric": "m", "error": None, "missing": ""}
    content = {"measurements": [measurement | {"value": 100 / 3}], "training": {}, "classifier_accuracy": 1}
    write_json(tmp_path / "metrics.json", content)
    values = [row.value for row in records.read_evaluation(tmp_path / "metrics.json", "p", "rca", 0, 1)]
    assert values == [33.3333333, 1.0]


@pytest.mark.parametrize("content", [{}, {"measurements": [1], "training": {}, "classifier_accuracy": 1}, "{"])
def test_damaged_evaluation(tmp_path, content):
    write_json(tmp_path / "metrics.json", content, seal=content != "{")
    with pytest.raises(ReflowbenchError, match=r"metrics\.json.*dvc repro"):
        records.read_evaluation(tmp_path / "metrics.json", "p", "rca", 0, 1)


def test_any_table_keeps_its_kinds_of_values(tmp_path):
    (tmp_path / "t.csv").write_text('name,n,x\na,1,\n"b, c",-2,0.5\n,0,nan\n')
    data = [["a", 1, None], ["b, c", -2, 0.5], [None, 0, None]]
    assert records.csv_table(tmp_path / "t.csv") == {"columns": ["name", "n", "x"], "data": data}


def test_curves_are_points_at_their_steps(tmp_path):
    (tmp_path / "curves.csv").write_text("step,loss,variance_ratio\n0,,0.9\n6,0.5,\n")
    found = [(point.key, point.value, point.step) for point in records.curve_points(tmp_path / "curves.csv")]
    assert found == [("variance_ratio", 0.9, 0), ("loss", 0.5, 6)]


def test_the_columns_are_those_of_the_table():
    assert COLUMNS == table.COLUMNS


def test_what_is_missing_is_no_point():
    lost = row(value=None, error=None, missing="why")
    found = records.evaluation_points([lost, row(metric="recall", value=0.5)])
    assert [(point.key, point.value, point.step) for point in found] == [("recall.euler.5", 0.5, 1)]
    seeds = [row(), row(seed=1, value=3.0)]
    assert [point.value for point in records.trend_points(seeds)] == [2.0]
    assert records.trend_points([*seeds, row(seed=2, value=None)]) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("metric,value", "metric,number"),
        ("value,error,missing", "value,sigma,missing"),
        ("tiny,reflow,0", "tiny,reflow,zero"),
    ],
)
def test_damaged_results(bare, old, new):
    path = bare / "reports/results.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ReflowbenchError, match=r"results\.csv: not a table.*dvc repro"):
        records.read_results(path)


def test_two_feature_spaces_are_told_apart():
    both = [row(features=f) for f in ("a", "b")]
    for made, suffixes in ((both[:1], [""]), (both, [".a", ".b"])):
        keys = [point.key for point in records.evaluation_points(made)]
        assert keys == [f"frechet_distance.euler.5{suffix}" for suffix in suffixes]
        assert [p.key for p in records.trend_points(made)] == [f"frechet_distance/rca{s}" for s in suffixes]


@pytest.mark.parametrize(
    ("cmd", "expected"),
    [
        ("python -m stages.train_base --seed 2 --out runs/base/s2", {"seed": "2"}),
        (
            "x --seed 1 --round 3 --out runs/chains/rca/s1/round3/inverted",
            {"method": "rca", "seed": "1", "round": "3"},
        ),
        ("x --out runs/chains/ocar/s1/round0/model", {"method": "ocar", "seed": "1", "round": "0"}),
        (
            "x --seed 1 --floor --model runs/base/s1 --out runs/evaluations/base/s1/round0",
            {"method": "base", "seed": "1", "round": "0"},
        ),
        ("python -m stages.report --out reports", {}),
        (["a --seed 1", "b"], {"seed": "1"}),
    ],
)
def test_cell_of_a_command(cmd, expected):
    assert records.cell({"cmd": cmd}) == expected
