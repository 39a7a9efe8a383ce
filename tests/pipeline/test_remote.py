"""Two clones that share a DVC remote and no disk: what one has run, the other one fetches."""

import shutil

import pytest

from tests.pipeline.project import TINY_STAGES, Project

pytestmark = pytest.mark.long

NOT_PUSHED = {
    "generate_pairs@reflow-0-1",
    "generate_pairs@rca-0-1",
    "rca_regenerate@rca-0-1",
}
"""Large, and made again by a flow of known noise."""
IN_GIT = {"summarize", "report"}
"""Their outputs are not in DVC's cache, so neither are their runs."""


@pytest.fixture(scope="module")
def pushed(first, tmp_path_factory):
    """A copy of a project that has run, committed and pushed."""
    folder = tmp_path_factory.mktemp("remote")
    shutil.copytree(first[0].folder, folder / "one", ignore=shutil.ignore_patterns("mlartifacts", "mlflow.db*"))
    project = Project(folder / "one")
    project.run("dvc", "remote", "add", "--default", "store", str(folder / "store"))
    project.commit("results")
    project.run("dvc", "push", "--run-cache")
    return project


def clone(pushed, name):
    folder = pushed.folder.with_name(name)
    pushed.run("git", "clone", "--quiet", str(pushed.folder), str(folder))
    return Project(folder)


def test_a_clone_pulls_the_results_and_makes_only_what_is_not_pushed(pushed):
    two = clone(pushed, "two")
    two.run("dvc", "pull", "--run-cache", check=False)  # says that the pairs are not there
    assert (two.folder / "runs/chains/ocar/s0/round1/model/model.safetensors").exists()
    assert not (two.folder / "runs/chains/rca/s0/round1/synthetic").exists()
    before = two.locks()
    assert two.repro() <= NOT_PUSHED | {"track"}
    assert two.locks() == before, "the same bytes"


def test_a_clone_that_allows_what_is_missing_makes_nothing(pushed):
    """At the paper's scale pairs take hours, and what was made of them is there."""
    four = clone(pushed, "four")
    four.run("dvc", "pull", "--run-cache", "--allow-missing")
    assert four.repro("--allow-missing") <= {"track"}
    assert not (four.folder / "runs/chains/rca/s0/round1/synthetic").exists()


def test_a_clone_without_lock_files_finds_the_runs_in_the_run_cache(pushed):
    """As after changing a parameter and changing it back: what ran anywhere before is not run again."""
    three = clone(pushed, "three")
    three.run("dvc", "pull", "--run-cache", check=False)
    before = three.lock()
    for name in three.locks():
        (three.folder / name).unlink()
    ran = three.repro()
    assert ran <= NOT_PUSHED | IN_GIT | {"track"} and len(ran) < len(TINY_STAGES)
    assert three.lock() == before
