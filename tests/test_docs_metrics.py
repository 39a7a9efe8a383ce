"""docs/metrics.md names every metric, and shows the damage controls that are committed."""

import pandas as pd
import pytest

from reflowbench.controls.damage import report as damage
from reflowbench.errors import ReflowbenchError
from tests.conftest import ROOT

PAGE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
REPORT = ROOT / "reports/controls/damage.md"


def test_the_table_of_the_controls_is_that_of_their_report():
    remedy = "run `python -m reflowbench.controls.damage`"
    assert damage.insert(PAGE, REPORT.read_text(encoding="utf-8")) == PAGE, remedy


def test_every_metric_of_the_controls_is_described_and_in_the_table():
    described, table = PAGE.split(damage.BEGIN)
    for metric, _ in damage.ROWS:
        assert f"`{metric}`" in described and f"\n| {metric} " in table
    assert all(f" {name} |" in table for name in damage.DAMAGES)


def test_every_metric_of_the_results_is_described():
    table = pd.read_csv(ROOT / "reports/results.csv")
    metrics = {name.removesuffix("_floor") for name in table["metric"]}
    assert {name for name in metrics if f"`{name}`" not in PAGE} == set()


def test_a_report_goes_between_the_marks_and_nowhere_else():
    page = f"before\n{damage.BEGIN}old\n{damage.END}after\n"
    report = "# Title\n\ntable\n\nlist\n"
    shown = f"before\n{damage.BEGIN}table\n\nlist\n{damage.END}after\n"
    assert damage.insert(page, report) == damage.insert(shown, report) == shown
    with pytest.raises(ReflowbenchError, match="want one <!-- damage --> and one"):
        damage.insert("no marks\n", report)
