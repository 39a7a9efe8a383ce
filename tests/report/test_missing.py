"""What could not be computed goes through `summarize` and `report` without a crash, and is said to be missing."""

import argparse
import csv
import json
import re

import pytest

from reflowbench import profiles
from reflowbench.report.collapse import METRICS
from reflowbench.runtime.evaluations import BASE
from reflowbench.tracking import records
from stages import report, summarize
from tests.conftest import ROOT
from tests.report.made import page_of, rows, section
from tests.report.pages import without_scripts
from tests.results.cells import FD, IN_FEATURES, METHODS, OTHERS, SEEDS, grid, lose

TABLES = {"results.csv", "fd_by_round.csv", "fd_by_nfe.csv", "aspects.csv", "paired.csv", "spectra.csv"}


@pytest.fixture
def run(evaluations, tmp_path):
    """Both stages on the evaluations; gives the folder of the results."""

    def run(ablations=False):
        values = profiles.resolve("digits", ROOT / "profiles")
        values["grid"] = grid().model_dump()
        if ablations:
            plain = {"base": "independent", "params": {}, "round": {}, "pairs": {}}
            values["chains"] = {method: plain | {"method": method} for method in METHODS}
            (evaluations / BASE).rename(evaluations / f"{BASE}_independent")
        params = tmp_path / "params.yaml"
        params.write_text(profiles.render(values))
        shared = {"params": params, "evaluations": evaluations, "out": tmp_path / "reports"}
        summarize.main(argparse.Namespace(**shared, metrics=tmp_path / "metrics"))
        report.main(argparse.Namespace(**shared, results=tmp_path / "reports"))
        return tmp_path / "reports"

    return run


def lose_nothing(folder):
    """Leave everything as it is."""


def lose_a_metric(folder):
    lose(folder, "rca", 1, 2, ["recall", "coverage"])


def lose_frechet(folder):
    lose(folder, "rca", 1, 2, [FD])


def lose_a_model(folder):
    lose(folder, "rca", 0, 2)


def lose_a_method(folder):
    for seed in SEEDS:
        for k in (1, 2):
            lose(folder, "rca", seed, k)


def lose_the_base(folder):
    for seed in SEEDS:
        lose(folder, BASE, seed, 0)


def lose_the_floors(folder):
    """What real images score, which the evaluations of the base hold."""
    for seed in SEEDS:
        lose(
            folder,
            BASE,
            seed,
            0,
            [f"{metric}_floor" for metric in (*IN_FEATURES, *OTHERS, "nearest_training_distance")],
        )


def lose_everything(folder):
    lose_the_base(folder)
    for method in METHODS:
        for seed in SEEDS:
            for k in (1, 2):
                lose(folder, method, seed, k)


LOSSES = [lose_a_metric, lose_frechet, lose_a_model, lose_a_method, lose_the_base, lose_the_floors, lose_everything]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("ablations", [False, True])
@pytest.mark.parametrize("lost", [lose_nothing, *LOSSES])
def test_nothing_crashes_and_nothing_is_nan(evaluations, run, lost, ablations):
    lost(evaluations)
    out = run(ablations)
    assert {path.name for path in out.glob("*.csv")} == TABLES
    page = (out / "report.md").read_text()
    texts = {path.name: without_scripts(path.read_text()) for path in out.glob("*.*")}
    assert not {name for name, text in texts.items() if re.search(r"\b(nan|NaN|None|inf)\b", text)}
    json.loads(texts["summary.json"])
    shown = set(re.findall(r"\(figures/(.*?)\)", page))
    assert shown == {path.name for path in (out / "figures").iterdir()}
    if not ablations:
        assert ("missing" in page.lower().replace("missing classes", "")) == (lost is not lose_nothing)
    elif lost is not lose_a_metric:  # of metrics that the ablations' page does not show
        assert bool(re.search(r" missing\b", page)) == (lost is not lose_nothing)


@pytest.mark.parametrize("lost", LOSSES)
def test_the_report_lists_what_is_missing_and_why(evaluations, lost):
    assert "Missing values" not in page_of(evaluations)
    lost(evaluations)
    page = page_of(evaluations)
    listed = section(page, "Missing values")
    assert ": it broke" in listed
    if lost is lose_a_metric:
        assert listed.strip().splitlines() == [
            "- recall (3 values; rca k = 2): it broke",
            "- coverage (3 values; rca k = 2): it broke",
        ]
        table = rows(section(page, "All metrics at NFE 50\n"))
        assert table["rca, k = 2"].count("missing") == 2 and table["reflow, k = 2"].count("missing") == 0
        assert "coverage inconclusive (missing)" in page
    if lost is lose_frechet:
        assert "- **rca**: the growth of FD is **inconclusive**, missing a round since the base." in page
        assert "After round 2, the paired difference to reflow is missing." in page
        full = rows(section(page, "Full steps"))["rca"]
        assert full == ["10.0 ± 0.0", "11.0 ± 0.0", *["missing"] * 3, "inconclusive", "missing", "0.0 ± 0.0", "missing"]
        assert rows(section(page, "Frechet distance by round"))["rca"] == ["10.0 ± 0.0", "11.0 ± 0.0", "missing"]


def test_reasons_are_told_apart_and_long_lists_are_cut(evaluations):
    for method in METHODS:
        for k in (1, 2):
            lose(evaluations, method, 0, k, ["recall"], "reason one")
    lose(evaluations, BASE, 0, 0, ["recall"], "reason one")
    lose(evaluations, "rca", 1, 1, ["recall"], "reason two")
    assert section(page_of(evaluations), "Missing values").strip().splitlines() == [
        "- recall (15 values; base, rca k = 1, rca k = 2, reflow k = 1 and 1 more): reason one",
        "- recall (3 values; rca k = 1): reason two",
    ]


def test_a_missing_floor_is_said_to_be_missing(evaluations):
    for seed in SEEDS:
        lose(evaluations, BASE, seed, 0, ["recall_floor"], "too few")
    page = page_of(evaluations)
    real = rows(section(page, "All metrics at NFE 50\n"))["real images"]
    assert [name for name, cell in zip(METRICS, real, strict=True) if cell == "missing"] == ["recall"]
    assert section(page, "Missing values").strip() == "- recall_floor (3 values; base): too few"


def test_the_tables_of_the_stage_hold_empty_cells(evaluations, run):
    lose_frechet(evaluations)
    out = run()
    with (out / "results.csv").open(newline="") as file:
        absent = [row for row in csv.DictReader(file) if row["missing"]]
    assert len(absent) == 3 and {(row["value"], row["error"], row["missing"]) for row in absent} == {
        ("", "", "it broke")
    }
    with (out / "aspects.csv").open(newline="") as file:
        assert {row["verdict"] for row in csv.DictReader(file)} == {"stable", "shrinks"}
    with (out / "paired.csv").open(newline="") as file:
        assert {row["seed"] for row in csv.DictReader(file) if row["difference"] == ""} == {"1"}
    assert json.loads((out / "summary.json").read_text())["rca"][FD] == {"mean": None, "half_width": None}
    assert (out / "fd_by_round.csv").read_text().splitlines()[-1] == "2,12,"
    rows_ = records.read_results(out / "results.csv")
    assert sum(row.value is None for row in rows_) == 3, "as the mirror reads them"
