"""A chain in one process, as the ablations run it, gives the evaluations of the stages, byte for byte."""

import shutil

import pytest

from reflowbench import profiles
from reflowbench.runtime.artifacts import content_hash
from reflowbench.runtime.config import read_yaml

METHODS = ("reflow", "rca", "ocar")


@pytest.fixture(scope="module")
def chains(project):
    """A parameter file with a chain for each method of the tiny grid."""
    chain = {"base": "independent", "params": {}, "round": {}, "pairs": {}}
    values = read_yaml(project.folder / "params.yaml") | {"chains": {m: {"method": m} | chain for m in METHODS}}
    path = project.folder / "chains.yaml"
    path.write_text(profiles.render(values))
    shutil.copytree(project.folder / "runs/base", project.folder / "bases")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_its_evaluations_are_those_of_the_stages(project, chains, method):
    out = project.folder / f"out/{method}"
    project.run(
        "python", "-m", "stages.run_chain", "--params", chains.name, "--chain", method, "--method", method,
        "--bases", "bases", "--data", "runs/data/train.safetensors", "--space", "runs/space",
        "--heldout", "runs/data/heldout.safetensors", "--features", "runs/features/classifier.safetensors",
        "--out", str(out),
    )  # fmt: skip
    stages = project.folder / f"runs/evaluations/{method}/s0/round1"
    assert content_hash(out / "s0/round1") == content_hash(stages)
