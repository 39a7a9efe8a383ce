"""What is logged, as plain values."""

import math

import pytest

from reflowbench.core.errors import ReflowbenchError
from reflowbench.results import table
from reflowbench.tracking import records
from tests.tracking.made import COLUMNS, rows


def row(**changes):
    values = {"profile": "p", "method": "rca", "seed": 0, "round": 1, "solver": "euler", "nfe": 5, "features": "a"}
    values |= {"n_samples": 9, "metric": "frechet_distance", "value": 1.0, "error": 0.5, "missing": ""}
    return records.Row(**values | changes)


def test_results_are_read_as_they_were_written(bare):
    """An empty value is not a number; it is null in a table of MLflow."""
    path = bare / "reports/results.csv"
    read = records.read_results(path)
    assert records.results_table(read) == {"columns": COLUMNS, "data": rows()}
    assert sum(math.isnan(found.error) for found in read) == sum(row[10] is None for row in rows()) > 0
    path.write_text(path.read_text().replace("frechet_distance_floor,5.5,0.25,", "frechet_distance_floor,,,too few"))
    last = records.read_results(path)[-1]
    assert math.isnan(last.value) and math.isnan(last.error) and last.missing == "too few"
    assert records.results_table([last])["data"][0][-3:] == [None, None, "too few"]


def test_the_columns_are_those_of_the_table():
    assert COLUMNS == table.COLUMNS


def test_what_is_missing_is_no_point():
    entry = {"cmd": "x --out runs/evaluations/rca/s0/k1"}
    lost = row(value=math.nan, error=math.nan, missing="why")
    found = records.evaluation_points(entry, [lost, row(metric="recall", value=0.5)])
    assert [(point.key, point.value, point.step) for point in found] == [("recall.euler.5", 0.5, 1)]
    seeds = [row(), row(seed=1, value=3.0)]
    assert [point.value for point in records.trend_points(seeds)] == [2.0]
    assert records.trend_points([*seeds, row(seed=2, value=math.nan)]) == []


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
    entry = {"cmd": "x --out runs/evaluations/rca/s0/k1"}
    both = [row(features=f) for f in ("a", "b")]
    for made, suffixes in ((both[:1], [""]), (both, [".a", ".b"])):
        keys = [point.key for point in records.evaluation_points(entry, made)]
        assert keys == [f"frechet_distance.euler.5{suffix}" for suffix in suffixes]
        assert [p.key for p in records.trend_points(made)] == [f"frechet_distance/rca{s}" for s in suffixes]


@pytest.mark.parametrize(
    ("cmd", "expected"),
    [
        ("python -m stages.train_base --seed 2 --out runs/base/s2", {"seed": "2"}),
        (
            "x --seed 1 --round 3 --out runs/chains/rca/s1/k3/inverted",
            {"method": "rca", "seed": "1", "round": "3"},
        ),
        ("x --out runs/chains/ocar/s1/k0/model", {"method": "ocar", "seed": "1", "round": "0"}),
        (
            "x --seed 1 --floor --model runs/base/s1 --out runs/evaluations/base/s1/k0",
            {"method": "base", "seed": "1", "round": "0"},
        ),
        ("python -m stages.report --out reports", {}),
        (["a --seed 1", "b"], {"seed": "1"}),
    ],
)
def test_cell_of_a_command(cmd, expected):
    assert records.cell({"cmd": cmd}) == expected
