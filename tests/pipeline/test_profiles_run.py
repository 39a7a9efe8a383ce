"""`reflowbench launch --profile`: another profile in a clone, and its results beside those of the root."""

import shutil

import pytest
import yaml

from tests.conftest import ROOT
from tests.pipeline.project import TINY_STAGES, Project

pytestmark = pytest.mark.long

OTHER = "evaluate@reflow-0-4"
"""A stage of the default profile only."""


@pytest.fixture
def project(first, tmp_path):
    """A checkout with results of another profile, and a cache that has those of the tiny one."""
    project = Project(tmp_path / "project").make()
    shutil.copy(ROOT / "dvc.lock", project.folder)
    others = shutil.ignore_patterns("mnist", "ablations", "study", "theory", "controls")
    shutil.copytree(ROOT / "reports", project.folder / "reports", ignore=others)
    project.run("dvc", "cache", "dir", "--local", str(first[0].folder / ".dvc/cache"))
    project.commit("results of the default profile")
    return project


def test_the_results_are_those_of_the_profile_and_nothing_else_changes(project, first):
    assert OTHER in project.lock()
    said = project.run("reflowbench", "launch", "--profile", "tiny", "--workers", "2").stdout
    assert said.endswith("results of tiny: reports/tiny/report.md\n")
    kept = project.folder / "reports/tiny"
    locks = [yaml.safe_load((kept / name).read_text())["stages"] for name in ("dvc.lock", "rounds/1/dvc.lock")]
    assert locks[0] | locks[1] == first[0].lock() and {*locks[0], *locks[1]} == set(TINY_STAGES)
    for name in ("report.md", "results.csv", "summary.json", "figures/fd_by_round.png"):
        assert (kept / name).read_bytes() == first[0].read(f"reports/{name}")
    assert (kept / "params.yaml").read_bytes() == first[0].read("params.yaml")
    assert project.run("git", "status", "--porcelain").stdout == "?? reports/tiny/\n"
    assert not (project.folder / ".scratch/profiles/tiny").exists(), "the clone is not needed any more"


def test_what_it_cannot_do_is_said_before_anything_runs(project):
    for arguments, expected in (
        (["--profile", "nothing"], "ERROR: no profile 'nothing' in profiles/"),
        (["--profile", "tiny", "--no-finish"], "ERROR: --profile keeps results"),
        (["nowhere"], "ERROR: nowhere: no dvc.yaml here"),
    ):
        said = project.run("reflowbench", "launch", *arguments, check=False)
        assert said.returncode and expected in said.stderr
    assert not (project.folder / ".scratch/profiles").exists()
