import argparse
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from reflowbench import profiles
from reflowbench.core.artifacts import write_tensors
from reflowbench.core.config import validate
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.evaluations import BASE, METRICS_FILE, SAMPLES_FILE, cell_folder
from reflowbench.core.params import GridParams
from reflowbench.couplings.shared.registry import stages_of
from reflowbench.report import study
from reflowbench.report.figures import write_figures
from reflowbench.report.markdown import Settings, render
from reflowbench.results.statistics import Interval, interval, slope
from reflowbench.results.summary import Results, fd_by_round, summarize
from reflowbench.results.table import COLUMNS, gather, read_table, to_csv
from stages import report
from tests.conftest import ROOT

METHODS = ["reflow", "rca"]
GRID = GridParams.model_validate(
    {
        "seeds": [0, 1, 2],
        "methods": METHODS,
        "stages": stages_of(METHODS),
        "rounds": [{"k": 1, "prev": 0}, {"k": 2, "prev": 1}],
        "ks": [1, 2],
    }
)

PARAMS = validate(profiles.resolve("digits", ROOT / "profiles"))
SETTINGS = Settings(PARAMS.round, PARAMS.pairs, PARAMS.evaluate, PARAMS.methods)
LAW = ("inverted_norm", "inverted_ks_norm", "inverted_ks_coordinates", "inverted_correlation")


def write_cell(folder, method, seed, k, fd, training):
    """The evaluation of one model, with the samples' grid; of a base model also the floors."""
    classified, pixels = ({"features": features, "n_samples": 50} for features in ("classifier", ""))
    rows = []
    for solver, nfe in (("euler", 1), ("euler", 50), ("dopri5", 20 + k)):
        shared = {"solver": solver, "nfe": nfe}
        rows.append({"metric": "frechet_distance", "value": fd(method, seed, k, nfe), **shared, **classified})
        rows.append({"metric": "kernel_distance", "value": 1.0, **shared, **classified})
        rows.append({"metric": "variance_ratio", "value": 1 - 0.125 * k, **shared, **pixels})
    shared = {"solver": "euler", "nfe": 50, **pixels}
    rows.append({"metric": "straightness", "value": 0.5, **shared})
    rows.append({"metric": "nearest_training_distance", "value": 3.25, **shared})
    rows.append({"metric": "closer_to_training", "value": 0.625, **shared})
    for metric in ("reconstruction_error_real", "reconstruction_error_synthetic", *LAW):
        rows.append({"metric": metric, "value": 0.125, "solver": "heun", "nfe": 24, "features": "", "n_samples": 25})
    if k == 0:
        floors = {"frechet_distance_floor": classified, "kernel_distance_floor": classified}
        floors["nearest_training_distance_floor"] = pixels
        rows += [{"metric": name, "value": 2.0, "solver": "", "nfe": 0, **kind} for name, kind in floors.items()]
    path = cell_folder(folder, method, seed, k)
    path.mkdir(parents=True)
    cell = {"measurements": rows, "training": training, "classifier_accuracy": 0.9}
    (path / METRICS_FILE).write_text(json.dumps(cell))
    images = torch.full((4, 4), -1.0 + 0.5 * k)
    write_tensors(path / SAMPLES_FILE, {"euler_50": images}, {"shape": [1, 2, 2]})


def write_cells(folder, fd=lambda method, seed, k, nfe: 10.0 + k, bases=(BASE,)):
    training = {"updates": 10, "train_evaluations": 100, "forward_evaluations": 300, "inversion_evaluations": 0}
    for seed in (0, 1, 2):
        for base in bases:  # of a base model other updates, and no pairs
            spent = {"updates": 70, "train_evaluations": 700, "forward_evaluations": 0}
            write_cell(folder, base, seed, 0, fd, training | spent)
        for method in METHODS:
            spent = {"inversion_evaluations": 150 if method == "rca" else 0}
            for k in (1, 2):
                write_cell(folder, method, seed, k, fd, training | spent)


@pytest.fixture
def evaluations(tmp_path):
    write_cells(tmp_path)
    return tmp_path


def results_of(folder):
    return Results(gather(folder, GRID, "test", {})[0])


def test_the_table_is_tidy_complete_and_round_trips(evaluations, tmp_path):
    table, strangers = gather(evaluations, GRID, "test", {})
    assert list(table.columns) == COLUMNS and strangers == []
    assert len(table.groupby(["method", "seed", "round"])) == 18
    assert not table.duplicated([c for c in COLUMNS if c != "value"]).any()
    (tmp_path / "results.csv").write_text(to_csv(table))
    pd.testing.assert_frame_equal(read_table(tmp_path / "results.csv"), table)
    assert to_csv(read_table(tmp_path / "results.csv")) == to_csv(table)


def test_round_zero_of_every_method_is_the_base_model(evaluations):
    path = cell_folder(evaluations, BASE, 1, 0) / METRICS_FILE
    path.write_text(path.read_text().replace("10.0", "11.5"))
    table, _ = gather(evaluations, GRID, "test", {})
    first = table[table["round"] == 0]
    reflow, rca = (first[first["method"] == method].drop(columns="method") for method in METHODS)
    pd.testing.assert_frame_equal(reflow.reset_index(drop=True), rca.reset_index(drop=True))
    assert Results(table).per_seed("rca", 0, "frechet_distance", 50) == [10.0, 11.5, 10.0]


def test_methods_start_from_the_base_that_is_named_for_them(tmp_path):
    """A study has base models of several couplings."""
    write_cells(tmp_path, lambda method, seed, k, nfe: 5.0 if method == "base_ot" else 10.0, (BASE, "base_ot"))
    table, strangers = gather(tmp_path, GRID, "test", {"rca": "base_ot"})
    assert strangers == []
    assert Results(table).per_seed("reflow", 0, "frechet_distance", 50) == [10.0] * 3
    assert Results(table).per_seed("rca", 0, "frechet_distance", 50) == [5.0] * 3
    assert set(table["method"]) == set(METHODS)
    # a base that no method starts from is left over
    assert gather(tmp_path, GRID, "test", {})[1] == [str(tmp_path / f"base_ot/s{seed}/k0") for seed in (0, 1, 2)]
    with pytest.raises(ReflowbenchError, match=r"base_x/s0/k0/metrics.json: no such file"):
        gather(tmp_path, GRID, "test", {"rca": "base_x"})


def test_only_the_rounds_that_the_grid_evaluates_are_read(evaluations):
    grid = GRID.model_copy(update={"ks": [2]})
    table, strangers = gather(evaluations, grid, "test", {})
    assert Results(table).rounds == [0, 2]
    assert strangers == [
        str(cell_folder(evaluations, method, seed, 1)) for method in ("rca", "reflow") for seed in (0, 1, 2)
    ]


@pytest.mark.parametrize("k", [1, 2])
def test_unequal_updates_are_no_comparison(evaluations, k):
    for seed in (0, 1, 2):
        path = cell_folder(evaluations, "rca", seed, k) / METRICS_FILE
        path.write_text(path.read_text().replace('"updates": 10', '"updates": 20'))
    message = rf"round {k} was trained for unequal updates \({{'rca': \[20\], 'reflow': \[10\]}}\).*run `dvc repro`"
    with pytest.raises(ReflowbenchError, match=message):
        gather(evaluations, GRID, "test", {})


def test_unequal_updates_of_one_seed_are_no_comparison(evaluations):
    path = cell_folder(evaluations, "rca", 1, 2) / METRICS_FILE
    path.write_text(path.read_text().replace('"updates": 10', '"updates": 20'))
    with pytest.raises(ReflowbenchError, match=r"round 2 was trained for unequal updates.*'rca': \[10, 20\]"):
        gather(evaluations, GRID, "test", {})


def test_rounds_may_differ_in_their_updates(evaluations):
    """As the base model does: methods are compared within a round."""
    for method in METHODS:
        for seed in (0, 1, 2):
            path = cell_folder(evaluations, method, seed, 2) / METRICS_FILE
            path.write_text(path.read_text().replace('"updates": 10', '"updates": 20'))
    results = results_of(evaluations)
    assert [results.per_seed("rca", k, "updates") for k in (0, 1, 2)] == [[70] * 3, [10] * 3, [20] * 3]


@pytest.mark.parametrize(("method", "k"), [("rca", 2), (BASE, 0)])
def test_a_missing_cell_is_an_error_and_a_left_over_one_is_named(evaluations, method, k):
    left_over = cell_folder(evaluations, method, 0, 3)
    cell_folder(evaluations, method, 0, k).rename(left_over)
    with pytest.raises(ReflowbenchError, match=rf"{method}/s0/k{k}/metrics.json: no such file"):
        gather(evaluations, GRID, "test", {})
    left_over.rename(cell_folder(evaluations, method, 0, k))
    strangers = [evaluations / "ocar/s0/k1", evaluations / "rca/s0/k0"]
    for folder in strangers:
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text("{}")
    table, found = gather(evaluations, GRID, "test", {})
    assert found == [str(folder) for folder in strangers] and "ocar" not in set(table["method"])


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"measurements": 1}'])
def test_a_damaged_cell_is_named(evaluations, text):
    (cell_folder(evaluations, "rca", 1, 1) / "metrics.json").write_text(text)
    with pytest.raises(ReflowbenchError, match=r"rca/s1/k1/metrics.json: not an evaluation"):
        gather(evaluations, GRID, "test", {})


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


def test_values_relative_to_the_base_are_paired_by_seed(tmp_path):
    """Base (10, 20, 30) by seed; reflow ends at three times it, rca at 20 whatever the seed."""

    def fd(method, seed, k, nfe):
        base = 10.0 * (seed + 1)
        return base if k == 0 else 3 * base if method == "reflow" else 20.0

    write_cells(tmp_path, fd)
    results = results_of(tmp_path)
    reflow = results.relative_to_base("reflow", "frechet_distance", 50)
    assert reflow.mean == pytest.approx(3) and reflow.half_width == pytest.approx(0)
    rca = results.relative_to_base("rca", "frechet_distance", 50)
    assert (rca.mean, rca.half_width) == pytest.approx((np.mean([2, 1, 2 / 3]), interval([2, 1, 2 / 3]).half_width))


def test_the_report_of_a_study_has_a_row_for_every_chain(tmp_path):
    write_cells(tmp_path, lambda method, seed, k, nfe: 10 + 2.5 * k + (k if method == "rca" and nfe == 50 else 0))
    blocks = {"reflow": {"method": "reflow", "round": {}}, "rca": {"method": "rca", "pairs": {"steps": 3}}}
    text = study.render(results_of(tmp_path), Settings(PARAMS.round, PARAMS.pairs, PARAMS.evaluate, blocks))
    found = {line.split(" | ")[0][2:]: line.strip("| ").split(" | ")[1:] for line in text.splitlines()[8:14]}
    shared = ["0.8 ± 0.0", found["rca"][5], "0.6 ± 0.0", "3"]
    assert found["reflow"] == ["15.0 ± 0.0", "15.0 ± 0.0", "1.5 ± 0.0", "1.5 ± 0.0", *shared, "0"]
    assert found["rca"] == ["17.0 ± 0.0", "15.0 ± 0.0", "1.7 ± 0.0", "1.5 ± 0.0", *shared, "1.5"]
    assert found["base (independent)"][:2] == ["10.0 ± 0.0", "10.0 ± 0.0"]
    assert "\n| rca | 2.0 ± 0.0 | 0.0 ± 0.0 |\n" in text, "differences to reflow"
    assert "- **rca**: method rca, pairs.steps 3" in text
    assert text.count("\n| base (independent) |") == 2 and text.count("\n| rca |") == 5


def test_the_summary_and_the_curves(evaluations):
    summary = summarize(results_of(evaluations), "test")
    assert summary["reflow"]["frechet_distance"] == {"mean": 12.0, "half_width": 0.0}
    assert summary["reflow"]["forward_evaluations_per_update"] == 3.0
    assert summary["reflow"]["inversion_evaluations_per_update"] == 0.0
    assert summary["rca"]["forward_evaluations_per_update"] == 3.0
    assert summary["rca"]["inversion_evaluations_per_update"] == 1.5
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
    floors = "Real against real: 2 (50 training images drawn with replacement, against all)."
    assert floors in text and "Held-out images lie at a median distance of 2 from" in text
    assert "| rca | 10 | 1 | 3 | 1.5 |" in text and "| reflow | 10 | 1 | 3 | 0 |" in text
    assert "| rca, k = 2 | 3.2 ± 0.0 | 0.6 ± 0.0 |" in text
    assert "| rca, k = 2 | 0.1 ± 0.0 |" in text and "25 real training images and as many samples" in text
    assert "correlation between coordinates (root mean square) 0.2." in text


def test_a_single_seed_claims_nothing(tmp_path):
    write_cells(tmp_path)
    table = gather(tmp_path, GRID, "test", {})[0]
    text = render(Results(table[table["seed"] == 0]), SETTINGS)
    assert "shows no certain trend" in text and "±" not in text.split("Conditions")[0]
    assert "1 seed;" in text


def test_the_report_states_the_settings_of_its_methods_only(evaluations):
    blocks = {"reflow": {}, "rca": {"real_fraction": 0.5, "potential": {"steps": 3, "lr": 0.5}}, "ot": {"noises": 7}}
    text = render(results_of(evaluations), Settings(PARAMS.round, PARAMS.pairs, PARAMS.evaluate, blocks))
    assert "- **reflow**: no parameters\n- **rca**: real_fraction 0.5, potential.steps 3, potential.lr 0.5\n" in text
    assert "noises" not in text
    assert (
        "Stored pairs: 3072 synthetic ones a round, and the noise of every real image, by heun with 12 steps." in text
    )


def test_the_figures_are_those_that_the_report_shows_and_the_same_bytes_each_time(evaluations, tmp_path):
    results = results_of(evaluations)
    for name in ("first", "again"):
        write_figures(results, evaluations, tmp_path / name)
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    assert drawn == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert set(drawn) == set(re.findall(r"\(figures/(.*?)\)", render(results, SETTINGS)))


@pytest.mark.parametrize("params", ["params.yaml", "study/params.yaml"])
def test_the_report_stage_draws_every_figure_that_its_page_shows(evaluations, tmp_path, params):
    (tmp_path / "results.csv").write_text(to_csv(gather(evaluations, GRID, "test", {})[0]))
    arguments = argparse.Namespace(
        params=ROOT / params, table=tmp_path / "results.csv", evaluations=evaluations, out=tmp_path / "out"
    )
    report.main(arguments)
    shown = set(re.findall(r"\(figures/(.*?)\)", (tmp_path / "out/report.md").read_text()))
    assert shown == {path.name for path in (tmp_path / "out/figures").iterdir()}


def test_the_samples_of_round_zero_are_the_base_models(evaluations, tmp_path):
    (cell_folder(evaluations, BASE, 0, 0) / SAMPLES_FILE).unlink()
    with pytest.raises(ReflowbenchError, match=r"base/s0/k0/samples.safetensors: no such file"):
        write_figures(results_of(evaluations), evaluations, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_a_study_has_one_figure_for_all_its_chains(evaluations, tmp_path):
    """It needs no samples."""
    for path in evaluations.rglob(SAMPLES_FILE):
        path.unlink()
    write_figures(results_of(evaluations), evaluations, tmp_path / "figures", study=True)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["overview.png"]
