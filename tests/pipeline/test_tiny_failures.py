"""Stage scripts on bad input and when interrupted: a message, a status, and no half-written output.

Uses what test_tiny left in the copy of the project.
"""

import shutil
import signal
import sys
import time

import pytest

from tests.pictures import read_png
from tests.pipeline.project import address

pytestmark = pytest.mark.slow

DATA = "runs/data/train.safetensors"
BASE = ["train_base", "--seed", "0", "--coupling", "independent", "--data", DATA, "--out", "made/base"]
ROUND = ["train_round", "--method", "reflow", "--seed", "0", "--round", "1", "--data", DATA]
ROUND += ["--start", "runs/base/s0", "--synthetic", "made/synthetic", "--out", "made/round"]


@pytest.fixture
def made(project):
    """A folder for outputs, with a copy of round 1's pairs; params.yaml is restored afterwards."""
    if not (project.folder / DATA).exists():
        project.repro(address("generate_pairs@reflow-0-1"))
    params = project.read("params.yaml")
    folder = project.folder / "made"
    shutil.copytree(project.folder / "runs/chains/reflow/s0/round1/synthetic", folder / "synthetic")
    yield folder
    shutil.rmtree(folder)
    (project.folder / "params.yaml").write_bytes(params)


def fails(project, command, message, **environment):
    result = project.run(sys.executable, "-m", f"stages.{command[0]}", *command[1:], check=False, **environment)
    assert result.returncode == 1
    assert message in result.stderr and "Traceback" not in result.stderr
    assert sorted(p.name for p in (project.folder / "made").iterdir()) == ["synthetic"]


def test_a_diverging_training(project, made):
    project.set_params(base__lr=1e30, base__clip=1e30)
    fails(project, BASE, "training diverged in round 0 at step")


def test_a_pair_shard_cut_short(project, made):
    shard = made / "synthetic/shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    fails(project, ROUND, "made/synthetic/shard-00000.safetensors: damaged")


def test_pairs_of_another_round(project, made):
    command = [*ROUND]
    command[command.index("--round") + 1] = "2"
    fails(project, command, "the synthetic pairs are of seed 0, round 1")


def test_a_missing_data_set(project, made):
    command = [word.replace(DATA, "runs/data/nothing.safetensors") for word in BASE]
    fails(project, command, "runs/data/nothing.safetensors: no such file; `dvc repro` makes it")


def test_a_bad_thread_count(project, made):
    message = "environment variable REFLOWBENCH_THREADS = 'many': want a positive integer"
    fails(project, BASE, message, REFLOWBENCH_THREADS="many")


@pytest.mark.parametrize("plots", [[], ["--plots", "made/plots"]])
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_training_leaves_no_model(project, made, sent, status, plots):
    """What it has shown until then stays, and is whole."""
    project.set_params(base__steps=10**6)
    process = project.start(sys.executable, "-m", f"stages.{BASE[0]}", *BASE[1:], *plots)
    # The bar appears when training starts.
    assert process.stderr is not None
    seen = ""
    while "base seed 0" not in seen:
        character = process.stderr.read(1)
        assert character, f"ended early: {seen}"
        seen += character
    time.sleep(0.5)
    process.send_signal(sent)
    _, error = process.communicate(timeout=60)
    assert process.returncode == status, error
    assert "Traceback" not in error
    assert sorted(p.name for p in made.iterdir()) == [*(["plots"] if plots else []), "synthetic"]
    if plots:
        rows = (made / "plots/curves.csv").read_text().splitlines()
        assert len(rows) >= 2 and len({row.count(",") for row in rows}) == 1
        assert len(read_png(made / "plots/samples.png")) > 0
        assert {p.name for p in (made / "plots").iterdir()} == {"curves.csv", "samples.png"}


def long(*values):
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods__rca__real_fractoin": 0.5}, "methods.rca.real_fractoin: unknown parameter; allowed here"),
        long({"methods__rca__real_fraction": 1.5}, "methods.rca.real_fraction = 1.5"),
        long({"round__steps": "many"}, "round.steps = 'many'"),
        long({"grid__rounds": {1: {"k": 1, "prev": 0}}}, "grid.rounds"),
        long({"grid__seeds": []}, "grid.seeds = []: list should have at least 1 item"),
    ],
)
def test_bad_parameters_stop_the_run_with_their_name(project, change, message):
    params, results = project.read("params.yaml"), project.read("reports/results.csv")
    try:
        project.set_params(**change)
        for command in (["reflowbench", "check"], ["dvc", "repro"]):
            result = project.run(*command, check=False)
            assert result.returncode != 0
            assert message in result.stdout + result.stderr and "Traceback" not in result.stderr
        assert project.read("reports/results.csv") == results
    finally:
        (project.folder / "params.yaml").write_bytes(params)
        project.run("dvc", "checkout")


def test_a_stage_minds_only_the_groups_that_it_reads(project):
    params = project.read("params.yaml")
    project.set_params(round__steps="many")
    assert project.repro("--force", "--single-item", "prepare_data") == {"prepare_data"}
    (project.folder / "params.yaml").write_bytes(params)
