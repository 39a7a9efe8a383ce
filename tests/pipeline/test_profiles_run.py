"""`profiles/run`: another profile in a clone, and its results beside those of the default one."""

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
    shutil.copytree(ROOT / "controls", project.folder / "controls")
    shutil.copy(ROOT / "dvc.lock", project.folder)
    shutil.copytree(ROOT / "reports", project.folder / "reports", ignore=shutil.ignore_patterns("mnist", "ablations"))
    project.run("dvc", "cache", "dir", "--local", str(first[0].folder / ".dvc/cache"))
    project.commit("results of the default profile")
    return project


def test_the_results_are_those_of_the_profile_and_nothing_else_changes(project, first):
    assert OTHER in project.lock()
    said = project.run("profiles/run", "tiny", "--workers", "2", REFLOWBENCH_THREADS="1").stdout
    assert said.endswith("results of tiny: reports/tiny/report.md\n")
    kept = project.folder / "reports/tiny"
    lock = yaml.safe_load((kept / "dvc.lock").read_text())["stages"]
    assert lock == first[0].lock() and set(lock) == set(TINY_STAGES) and OTHER not in lock
    for name in ("report.md", "results.csv", "summary.json", "figures/fd_by_round.png"):
        assert (kept / name).read_bytes() == first[0].read(f"reports/{name}")
    assert (kept / "params.yaml").read_bytes() == first[0].read("params.yaml")
    assert project.run("git", "status", "--porcelain").stdout == "?? reports/tiny/\n"
    assert not (project.folder / ".scratch/profiles/tiny").exists(), "the clone is not needed any more"


def test_what_it_cannot_do_is_said_before_anything_runs(project):
    for arguments, expected in (
        ([], "usage: profiles/run NAME"),
        (["nothing"], "ERROR: no profiles/nothing.yaml"),
        (["tiny", "--no-finish"], "ERROR: --no-finish makes no results to keep"),
    ):
        said = project.run("profiles/run", *arguments, check=False)
        assert said.returncode and expected in said.stderr
    (project.folder / "profiles/tiny.yaml").write_text("grid:\n")
    said = project.run("profiles/run", "tiny", check=False)
    assert said.returncode and "commit src, stages, profiles and dvc.yaml first" in said.stderr
    assert not (project.folder / ".scratch/profiles/tiny").exists()
