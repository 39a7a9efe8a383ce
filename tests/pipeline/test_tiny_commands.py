"""The command line's tools on a pipeline that has run. Uses what test_tiny left in the copy of the project."""

import json

import pytest

from reflowbench.cost.pairs import variants
from reflowbench.cost.plan import facts
from reflowbench.data.images import ImageSet
from reflowbench.networks.model import load_facts
from reflowbench.runtime.config import load_params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(project):
    """The pipeline, brought up to date."""
    project.repro()
    return project


def test_status_says_that_all_is_done_and_what_it_took(whole):
    status = json.loads(whole.run("reflowbench", "status", "--json").stdout)
    assert {stage["state"] for stage in status["stages"].values()} == {"done"}
    assert {(cell["method"], cell["round"]) for cell in status["cells"]} >= {("base", 0), ("rca", 1)}
    assert status["spent"] > 0 and status["expected"] == status["untimed"] == 0
    params = whole.read("params.yaml")
    whole.set_params(round__lr=0.002)
    said = whole.run("reflowbench", "status").stdout
    (whole.folder / "params.yaml").write_bytes(params)
    assert "round.lr 0.001 → 0.002" in said and "to run in about" in said


def test_costs_are_planned_exactly(whole):
    """Of each method of the grid, those of the profile's own stages in train.json."""
    params = load_params(whole.folder / "params.yaml")
    n = len(ImageSet.load(whole.folder / "runs/data/train.safetensors"))
    known = variants(params.model_copy(update={"grid": _known(params.grid)}))
    assert {variant.name for variant in known} == {"reflow", "rca", "ocar"}
    for variant in known:
        recorded = load_facts(whole.folder / f"runs/chains/{variant.name}/s0/round1/model")
        assert {name: recorded[name] for name in facts(variant, n)} == facts(variant, n)
    assert "evaluate_base" in whole.run("reflowbench", "cost", "--flops", "1e10").stdout


def _known(grid):
    """Without the method that test_tiny adds to the copy: this process has the code of the project itself."""
    return grid.model_copy(update={"methods": [name for name in grid.methods if name != "anneal"]})


def test_models_of_the_pipeline_are_drawn(whole):
    whole.run("reflowbench", "sample", "runs/chains/rca/s0/round1/model", "--n", "9", "--nfe", "5", "--out", "made.png")
    whole.run("reflowbench", "animate", "runs/base/s0", "--n", "4", "--nfe", "5", "--out", "made.gif")
    assert whole.read("made.png").startswith(b"\x89PNG") and whole.read("made.gif").startswith(b"GIF")


@pytest.mark.long
def test_two_branches_are_compared(whole):
    """One parameter of one method is changed on a branch: every tool names it, and numbers of that method alone."""
    before = whole.read("params.yaml")
    old = load_params(whole.folder / "params.yaml").methods["rca"]["real_fraction"]
    whole.run("git", "checkout", "--quiet", "-B", "before")
    whole.commit("results")
    whole.run("git", "checkout", "--quiet", "-b", "more-real")
    new = 0.75
    assert old != new
    whole.set_params(methods__rca__real_fraction=new)
    whole.repro()
    whole.commit("more real pairs")
    branches = ("before", "more-real")
    params = json.loads(whole.run("dvc", "params", "diff", *branches, "--json").stdout)
    assert params == {"params.yaml": {"methods.rca.real_fraction": {"old": old, "new": new, "diff": new - old}}}
    metrics = json.loads(whole.run("dvc", "metrics", "diff", *branches, "--json").stdout)
    assert set(metrics) == {"metrics/rca.json"}
    changed = metrics["metrics/rca.json"]
    assert set(changed) == {"fd", "growth", "one_step_first", "one_step_last"}
    said = whole.run("reflowbench", "compare", *branches).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("|")]
    assert ["methods.rca.real_fraction", str(old), str(new)] in rows
    fd = next(row for row in rows if row[:2] == ["rca", "FD, NFE 5"])
    difference = changed["fd"]
    assert float(fd[4].split()[0]) == pytest.approx(difference["new"] - difference["old"], rel=0.02)
    assert "The same numbers in all of them: " in said and "reflow" in said.rpartition("in all of them: ")[2]
    whole.run("git", "checkout", "--quiet", "before")
    assert whole.read("params.yaml") == before
    whole.repro()
