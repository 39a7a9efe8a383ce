import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reflowbench import profiles
from reflowbench.core.config import GridParams, stages_of, validate
from reflowbench.core.errors import ReflowbenchError
from reflowbench.report.markdown import Settings, render
from reflowbench.results.statistics import Interval, interval, slope
from reflowbench.results.summary import Results, fd_by_round, summarize
from reflowbench.results.table import COLUMNS, cell_folder, gather, read_table, to_csv
from tests.conftest import ROOT

METHODS = ["reflow", "rca"]
GRID = GridParams.model_validate(
    {
        "seeds": [0, 1, 2],
        "methods": METHODS,
        "stages": stages_of(METHODS),
        "rounds": [{"k": 1, "prev": 0}, {"k": 2, "prev": 1}],
        "ks": [0, 1, 2],
    }
)

PARAMS = validate(profiles.resolve("digits", ROOT / "profiles"))
SETTINGS = Settings(PARAMS.round, PARAMS.pairs, PARAMS.methods, PARAMS.evaluate)


def write_cells(folder, fd=lambda method, seed, k, nfe: 10.0 + k):
    for method, seed, k in itertools.product(METHODS, (0, 1, 2), (0, 1, 2)):
        distances = {"features": "classifier", "n_samples": 50}
        rows = [{"metric": f"{name}_floor", "value": 2.0, "solver": "", "nfe": 0, **distances}
                for name in ("frechet_distance", "kernel_distance")]  # fmt: skip
        for solver, nfe in (("euler", 1), ("euler", 50), ("dopri5", 20 + k)):
            shared = {"solver": solver, "nfe": nfe}
            rows.append({"metric": "frechet_distance", "value": fd(method, seed, k, nfe), **shared, **distances})
            rows.append({"metric": "kernel_distance", "value": 1.0, **shared, **distances})
            rows.append({"metric": "variance_ratio", "value": 1 - 0.1 * k, **shared, "features": "", "n_samples": 50})
        rows.append(
            {
                "metric": "straightness",
                "value": 0.5,
                "solver": "euler",
                "nfe": 50,
                "features": "",
                "n_samples": 50,
            }
        )
        training = {"pair_evaluations": 300, "train_evaluations": 100, "steps": 10}
        path = cell_folder(folder, method, seed, k)
        path.mkdir(parents=True)
        cell = {"measurements": rows, "training": training, "classifier_accuracy": 0.9}
        (path / "metrics.json").write_text(json.dumps(cell))


@pytest.fixture
def evaluations(tmp_path):
    write_cells(tmp_path)
    return tmp_path


def results_of(folder):
    return Results(gather(folder, GRID, "test")[0])


def test_the_table_is_tidy_complete_and_round_trips(evaluations, tmp_path):
    table, strangers = gather(evaluations, GRID, "test")
    assert list(table.columns) == COLUMNS and strangers == []
    assert len(table.groupby(["method", "seed", "round"])) == 18
    assert not table.duplicated([c for c in COLUMNS if c != "value"]).any()
    (tmp_path / "results.csv").write_text(to_csv(table))
    pd.testing.assert_frame_equal(read_table(tmp_path / "results.csv"), table)
    assert to_csv(read_table(tmp_path / "results.csv")) == to_csv(table)


def test_a_missing_cell_is_an_error_and_a_left_over_one_is_named(evaluations):
    left_over = cell_folder(evaluations, "rca", 0, 3)
    cell_folder(evaluations, "rca", 0, 2).rename(left_over)
    with pytest.raises(ReflowbenchError, match=r"rca/s0/k2/metrics.json: no such file"):
        gather(evaluations, GRID, "test")
    left_over.rename(cell_folder(evaluations, "rca", 0, 2))
    (evaluations / "ocar/s0/k0").mkdir(parents=True)
    (evaluations / "ocar/s0/k0/metrics.json").write_text("{}")
    table, strangers = gather(evaluations, GRID, "test")
    assert strangers == [str(evaluations / "ocar/s0/k0")] and "ocar" not in set(table["method"])


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"measurements": 1}'])
def test_a_damaged_cell_is_named(evaluations, text):
    (cell_folder(evaluations, "rca", 1, 1) / "metrics.json").write_text(text)
    with pytest.raises(ReflowbenchError, match=r"rca/s1/k1/metrics.json: not an evaluation"):
        gather(evaluations, GRID, "test")


def test_a_table_with_other_columns_is_refused(tmp_path):
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ReflowbenchError, match="results.csv: columns"):
        read_table(tmp_path / "results.csv")


def test_the_interval_is_students():
    values = [1.0, 2.0, 4.0]
    got = interval(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (got.mean - got.half_width, got.mean + got.half_width) == pytest.approx((low, high))


def test_the_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(2000, 3))
    covered = np.mean([abs(i.mean) <= i.half_width for i in map(interval, draws)])
    assert covered == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (Interval(3.0, 1.0, 3), 1, "3.0 ± 1.0"),
        (Interval(-3.0, 1.0, 3), -1, "-3.0 ± 1.0"),
        (Interval(0.5, 1.0, 3), 0, "0.5 ± 1.0"),
        (Interval(3.0, None, 1), 0, "3"),
        (Interval(0.12345, 0.0034, 3), 1, "0.1235 ± 0.0034"),
        (Interval(1234.5, 120.0, 3), 1, "1234 ± 120"),
        (Interval(2.0, 0.0, 3), 1, "2.0 ± 0.0"),
    ],
)
def test_interval_sign_and_text(value, sign, text):
    assert (value.sign, str(value)) == (sign, text)


def test_growth_and_paired_differences(tmp_path):
    """FD = 10 + (3 + seed) k for reflow; rca is 4 below it at the end, whatever the spread over seeds."""
    write_cells(tmp_path, lambda method, seed, k, nfe: 10 + (3 + seed) * k - (2 * k if method == "rca" else 0))
    results = results_of(tmp_path)
    growth = results.growth("reflow", "frechet_distance", 50)
    assert growth.mean == pytest.approx(4) and growth.half_width == pytest.approx(interval([3, 4, 5]).half_width)
    difference = results.against("rca", "reflow", "frechet_distance", 50)
    assert difference.mean == pytest.approx(-4) and difference.half_width == pytest.approx(0, abs=1e-9)
    assert slope([0, 1, 2], [1, 3, 5]) == pytest.approx(2)


def test_the_summary_and_the_curves(evaluations):
    summary = summarize(results_of(evaluations), "test")
    assert summary["reflow"]["frechet_distance"] == {"mean": 12.0, "half_width": 0.0}
    assert summary["reflow"]["pair_evaluations_per_update"] == 3.0
    assert summary["rca"]["frechet_distance_minus_reflow"]["mean"] == 0.0
    assert "frechet_distance_minus_reflow" not in summary["reflow"]
    assert summary["floor"] == {"frechet_distance": 2.0}
    assert fd_by_round(results_of(evaluations)).to_dict("list") == {
        "round": [0, 1, 2], "reflow": [10, 11, 12], "rca": [10, 11, 12]}  # fmt: skip


@pytest.mark.parametrize(
    ("at_the_end", "sentence"),
    [
        (lambda seed: -5 + 0.1 * seed, "It ends with lower FD than reflow"),
        (lambda seed: 5 + 0.1 * seed, "It does **not** help here: it ends with higher FD than reflow"),
        (lambda seed: seed - 1, "It does **not** certainly differ from reflow"),
    ],
)
def test_the_report_says_what_the_intervals_say(tmp_path, at_the_end, sentence):
    write_cells(
        tmp_path,
        lambda method, seed, k, nfe: 10 + 5 * k + 0.1 * seed * k + (at_the_end(seed) * k / 2 if method == "rca" else 0),
    )
    text = render(results_of(tmp_path), SETTINGS)
    assert sentence in text
    assert "- **reflow**: FD grows (5.10 ± 0.25 a round)" in text
    assert text.count("| reflow |") >= 5


def test_a_single_seed_claims_nothing(tmp_path):
    write_cells(tmp_path)
    table = gather(tmp_path, GRID, "test")[0]
    text = render(Results(table[table["seed"] == 0]), SETTINGS)
    assert "shows no certain trend" in text and "±" not in text.split("Conditions")[0]
    assert "1 seed;" in text
