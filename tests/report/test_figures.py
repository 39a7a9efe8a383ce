"""Figures: those that the page shows, the same bytes each time, whole or not at all."""

import argparse
import re
from pathlib import Path

import matplotlib
import pytest
import yaml
from matplotlib import pyplot

from reflowbench.errors import ReflowbenchError
from reflowbench.report import ablations, diversity
from reflowbench.report.figures import overview, write_figures, write_overview
from reflowbench.results.access import Results
from reflowbench.results.table import to_csv
from reflowbench.runtime.artifacts import write_text
from reflowbench.runtime.evaluations import BASE, SAMPLES_FILE, cell_folder
from stages import report
from tests.conftest import ROOT
from tests.report.made import page_of, paired_of, settings, spectra_of
from tests.results.cells import SEEDS, edit, results_of, write_cells


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_figures_are_those_that_the_report_shows_and_the_same_bytes_each_time(evaluations, tmp_path):
    results, spectra = results_of(evaluations), spectra_of(evaluations)
    write_figures(results, evaluations, spectra, tmp_path / "first")
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "image.cmap": "jet"}):  # a user's matplotlibrc
        write_figures(results, evaluations, spectra, tmp_path / "again")
    drawn = contents(tmp_path / "first")
    assert drawn == contents(tmp_path / "again")
    assert set(drawn) == set(re.findall(r"\(figures/(.*?)\)", page_of(evaluations)))
    assert pyplot.get_fignums() == [], "closed"


@pytest.mark.parametrize("pipeline", ["dvc.yaml", "ablations/dvc.yaml"])
def test_the_report_stage_draws_every_figure_that_its_page_shows(evaluations, tmp_path, pipeline):
    """From the files alone that its stage depends on."""
    deps = yaml.safe_load((ROOT / pipeline).read_text())["stages"]["report"]["deps"]
    tables = {"results": results_of(evaluations).table, "paired": paired_of(evaluations)}
    tables["spectra"] = spectra_of(evaluations)
    read = {Path(dep).stem for dep in deps if dep.endswith(".csv")}
    assert read == ({"results"} if "ablations" in pipeline else set(tables))
    for name in read:
        write_text(tmp_path / "made" / f"{name}.csv", to_csv(tables[name]))
    params = (ROOT / pipeline).with_name("params.yaml")
    shared = {"results": tmp_path / "made", "evaluations": evaluations, "out": tmp_path / "out"}
    report.main(argparse.Namespace(**shared, params=params))
    shown = set(re.findall(r"\(figures/(.*?)\)", (tmp_path / "out/report.md").read_text()))
    assert shown == set(contents(tmp_path / "out/figures"))


def test_the_samples_of_round_zero_are_the_base_models(evaluations, tmp_path):
    (cell_folder(evaluations, BASE, 0, 0) / SAMPLES_FILE).unlink()
    with pytest.raises(ReflowbenchError, match=r"base/s0/round0/samples.safetensors: no such file"):
        write_figures(results_of(evaluations), evaluations, spectra_of(evaluations), tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_the_ablations_have_one_figure_for_all_its_chains(evaluations, tmp_path):
    """It needs no samples."""
    for path in evaluations.rglob(SAMPLES_FILE):
        path.unlink()
    write_overview(results_of(evaluations), {"base": "reflow"}, tmp_path / "figures")
    assert list(contents(tmp_path / "figures")) == ["overview.png"]


def test_the_overview_has_a_line_for_each_kind_of_base(tmp_path):
    """Whatever chain comes first, and only for those that a chain started from."""
    write_cells(tmp_path, lambda method, seed, k, nfe: 10 + nfe / 50)
    results = results_of(tmp_path)
    table = results.table
    from_ot = (table["method"] == "rca") & (table["round"] == 0) & (table["metric"] == "frechet_distance")
    results = Results(table.assign(value=table["value"] + 7 * from_ot))
    blocks = {"reflow": {"base": "independent"}, "rca": {"base": "ot"}}
    panels = drawn(overview(results, ablations.bases(results, settings(blocks))))
    for panel, fd in zip(panels, (11, 10.02), strict=True):
        bases = {label: points[0][0] for label, points in panel.items() if label.startswith("base")}
        assert bases == pytest.approx({"base (independent)": fd, "base (ot)": fd + 7})
    alone = ablations.bases(results, settings(blocks | {"rca": {"base": "independent"}}))
    assert alone == {"base (independent)": "reflow"}


def drawn(figure):
    """The curves of a figure's panels by label, as lists of points."""
    found = [
        {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines() if line.get_label()[0] != "_"}
        | {c.get_label(): c.lines[0].get_xydata().tolist() for c in axes.containers}
        for axes in figure.axes
    ]
    pyplot.close(figure)
    return found


def test_the_spectrum_is_relative_to_the_real_one_where_that_is_not_zero(evaluations):
    """Real eigenvalues 4, 3, 2, 0: the last direction has no ratio."""
    for seed in SEEDS:
        edit(evaluations, "rca", seed, 2, lambda cell: cell.update(spectrum=[2.0, 3.0, 0.5, 0.25]))
    [curves] = drawn(diversity.spectrum(results_of(evaluations), spectra_of(evaluations)))
    assert curves["rca (k = 2)"] == [[1, 0.5], [2, 1], [3, 0.25]]
    assert curves["base (k = 0)"] == [[1, 1], [2, pytest.approx(2 / 3)], [3, 0.5]]
    without = spectra_of(evaluations).drop(columns="rca_k2")
    [curves] = drawn(diversity.spectrum(results_of(evaluations), without))
    assert {"rca (k = 2)", "rca_k2"}.isdisjoint(curves) and "reflow (k = 2)" in curves


def test_the_panel_of_diversity_has_every_method_by_round(evaluations):
    panels = drawn(diversity.panel(results_of(evaluations)))
    assert len(panels) == 6
    for curves in panels:
        assert {"reflow", "rca", "real images"} <= set(curves)
    assert panels[1]["rca"] == [[0, 1], [1, 0.875], [2, 0.75]], "variance"
