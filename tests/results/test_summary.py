"""The summary, and the numbers and curves that DVC compares and plots."""

import json
import math

import pytest

from reflowbench.results.summary import fd_by_nfe, fd_by_round, headline, summarize
from reflowbench.results.table import to_csv
from reflowbench.runtime.artifacts import write_json
from reflowbench.runtime.evaluations import BASE
from tests.results.cells import FD, edit, grid, lose, results_of, write_cells


def test_the_summary_and_the_curves(evaluations):
    summary = summarize(results_of(evaluations), "test")
    assert summary["reflow"][FD] == {"mean": 12.0, "half_width": 0.0}
    assert summary["reflow"]["forward_evaluations_per_update"] == 3.0
    assert summary["reflow"]["inversion_evaluations_per_update"] == 0.0
    assert summary["rca"]["forward_evaluations_per_update"] == 3.0
    assert summary["rca"]["inversion_evaluations_per_update"] == 1.5
    assert summary["rca"]["frechet_distance_minus_reflow"]["mean"] == 0.0
    assert "frechet_distance_minus_reflow" not in summary["reflow"]
    assert summary["floor"] == {FD: 2.0}
    assert summary["rca"]["variance_ratio"] == {"mean": 0.75, "half_width": 0.0}
    assert summary["conditions"] == {"classifier_accuracy": 0.9, "rounds": 2, "seeds": 3, "nfe": 50}
    assert fd_by_round(results_of(evaluations)).to_dict("list") == {
        "round": [0, 1, 2], "reflow": [10, 11, 12], "rca": [10, 11, 12]}  # fmt: skip
    assert fd_by_nfe(results_of(evaluations)).to_dict("list") == {
        "nfe": [1, 50], "reflow": [12, 12], "rca": [12, 12]}  # fmt: skip


def test_the_summary_answers_both_questions(tmp_path):
    """In many steps reflow grows by half a round, and rca stays; in one step both fall, rca less."""

    def fd(method, seed, k, nfe):
        return 16 * ((0.5 if method == "reflow" else 0.75) ** k if nfe == 1 else 1.5**k if method == "reflow" else 1.0)

    write_cells(tmp_path, fd)
    summary = summarize(results_of(tmp_path), "test")
    reflow, rca = summary["reflow"], summary["rca"]
    for since in ("base", "round1"):
        assert reflow[f"log_growth_since_{since}"]["mean"] == pytest.approx(math.log(1.5), rel=1e-5)
        assert rca[f"log_growth_since_{since}"] == {"mean": 0.0, "half_width": 0.0}
    assert (reflow["verdict"], rca["verdict"]) == ("grows", "stable")
    assert summary["base"][FD]["mean"] == summary["base"][f"{FD}_nfe1"]["mean"] == 16.0
    assert [reflow[f"{FD}_nfe1{after}"]["mean"] for after in ("_round1", "")] == [8.0, 4.0]
    assert headline(results_of(tmp_path)) == {
        "reflow": {"fd": 36.0, "growth": 0.4055, "one_step_first": 8.0, "one_step_last": 4.0},
        "rca": {"fd": 16.0, "growth": 0.0, "one_step_first": 12.0, "one_step_last": 9.0}}  # fmt: skip
    assert rca["share_prevented"]["mean"] == 1.0 and "share_prevented" not in reflow
    differences = {name: value["mean"] for name, value in rca.items() if name.endswith("_minus_reflow")}
    assert differences == {f"{FD}_minus_reflow": -20.0, f"{FD}_round1_minus_reflow": -8.0,
                           f"{FD}_nfe1_minus_reflow": 5.0, f"{FD}_nfe1_round1_minus_reflow": 4.0}  # fmt: skip


def test_missing_values_are_null_in_the_summary_and_empty_in_the_curves(evaluations, tmp_path):
    lose(evaluations, "rca", 1, 2, [FD])
    lose(evaluations, BASE, 0, 0, ["variance_ratio"])
    gone = {"value": None, "error": None, "missing": "no reason"}
    edit(evaluations, BASE, 0, 0, lambda cell: [row.update(gone) for row in cell["measurements"]
                                                if row["metric"] == f"{FD}_floor"])  # fmt: skip
    results = results_of(evaluations)
    summary = summarize(results, "test")
    nothing = {"mean": None, "half_width": None}
    names = (FD, f"{FD}_nfe1", "log_growth_since_base", "log_growth_since_round1", "share_prevented",
             f"{FD}_minus_reflow", f"{FD}_nfe1_minus_reflow")  # fmt: skip
    assert all(summary["rca"][name] == nothing for name in names)
    assert summary["rca"]["verdict"] == "inconclusive" and summary["rca"]["variance_ratio"]["mean"] == 0.75
    assert summary["base"]["variance_ratio"] == nothing and summary["floor"] == {FD: None}
    assert summary["reflow"][FD]["mean"] == 12.0
    write_json(tmp_path / "summary.json", summary, seal=False)  # refuses NaN
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert headline(results)["rca"] == dict.fromkeys(("fd", "growth", "one_step_last")) | {"one_step_first": 11.0}
    assert to_csv(fd_by_round(results)).splitlines() == ["round,reflow,rca", "0,10,10", "1,11,11", "2,12,"]


def test_a_single_seed_has_no_interval(evaluations):
    summary = summarize(results_of(evaluations, grid(seeds=[1])), "test")
    assert summary["reflow"][FD] == {"mean": 12.0, "half_width": None}
    assert summary["reflow"]["verdict"] == "inconclusive" and summary["conditions"]["seeds"] == 1
