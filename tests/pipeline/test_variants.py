"""The real DAG with two variants of one method in its grid: chains with names of their own. In order, on one copy."""

import csv
import shutil

import pytest

from tests.pipeline.project import TINY_STAGES, Project

pytestmark = pytest.mark.long

TRAINED = {"rca@rca_fixed-0-1"}
GATHERED = {"summarize", "report", "track"}


@pytest.fixture(scope="module")
def project(first, tmp_path_factory):
    """A copy of the pipeline that has run, and a profile with a variant of RCA."""
    project = Project(tmp_path_factory.mktemp("variants") / "project").take(first[0])
    project.run("git", "checkout", "--quiet", "-B", "before")
    project.repro()
    path = project.folder / "profiles/tiny.yaml"
    text = path.read_text().replace("methods: [reflow, rca, ocar]", "methods: [reflow, rca, ocar, rca_fixed]", 1)
    variant = "\nmethods:\n  rca_fixed: {method: rca, regenerate_every: 0, real_fraction: 0.75}\n"
    path.write_text(text.replace("\nmethods:\n", variant, 1))
    project.run("reflowbench", "profile", "tiny")
    project.run("reflowbench", "check")
    return project


@pytest.fixture(scope="module")
def ran(project):
    return project.repro()


def test_a_variant_is_a_chain_of_its_own(project, ran):
    own = {name.replace("@rca", "@rca_fixed") for name in TINY_STAGES if "@rca" in name}
    assert own > TRAINED and ran == own | GATHERED
    shutil.rmtree(project.folder / "runs/chains/rca_fixed")
    assert project.repro() == set(), "from DVC's cache"


def test_tables_and_report_have_a_row_for_each(project, ran):
    with (project.folder / "reports/results.csv").open() as file:
        values = {(r["method"], r["round"], r["metric"], r["nfe"]): r["value"] for r in csv.DictReader(file)}
    found = [values[name, "1", "frechet_distance", "5"] for name in ("rca", "rca_fixed")]
    assert all(float(value) > 0 for value in found) and found[0] != found[1]
    report = project.read("reports/report.md").decode()
    assert {line.split(" | ")[0] for line in report.splitlines()} >= {"| rca", "| rca_fixed"}
    assert "- **rca_fixed**: method rca, real_fraction 0.75, regenerate_every 0, source raw, whiten none\n" in report
    assert "- **rca**: real_fraction 0.5, regenerate_every 5, source raw, whiten none\n" in report


def test_a_launch_plans_its_chain(project, ran):
    assert "rca_fixed-0" in project.run("reflowbench", "launch", "--dry-run").stdout


def test_a_parameter_of_a_variant_reruns_its_own_cells_only(project, ran):
    project.commit("with a variant")
    project.set_params(methods__rca_fixed__real_fraction=1.0)
    stale = Project.stages_that_ran(project.run("dvc", "repro", "--dry").stdout)
    assert stale == TRAINED | {"report"}, "the others only if what is before them gives other bytes"
    assert project.repro() == TRAINED | {"evaluate@rca_fixed-0-1"} | GATHERED
    said = project.run("reflowbench", "compare", "before").stdout
    assert "methods.rca_fixed.real_fraction" in said
    assert [line for line in said.splitlines() if line.startswith("| rca_fixed | FD, NFE 5")]
    same = said.rpartition("in all of them: ")[2]
    assert "rca" in same.rstrip(".\n").split(", ")


def test_another_methods_code_reruns_nothing(project, ran):
    """A new file neither."""
    couplings, before = project.folder / "src/reflowbench/couplings", project.locks()
    code = (couplings / "conic.py").read_text()
    for name in ("conic", "mine"):
        (couplings / f"{name}.py").write_text(code + "\n# a comment\n")
    assert project.repro() == set() and project.locks() == before
    (couplings / "mine.py").unlink()


def test_a_methods_code_retrains_all_of_its_variants(project, ran):
    path = project.folder / "src/reflowbench/couplings/rca.py"
    path.write_text(path.read_text() + "\n# a comment\n")
    assert project.repro() == {"rca@rca-0-1"} | TRAINED, "to the same weights, so that nothing after them runs"
