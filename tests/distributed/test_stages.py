"""Stages in 1, 2 and 4 processes: the same bytes of pairs and evaluations, the same trainings to rounding."""

import os
import signal

import numpy as np
import psutil
import pytest

from reflowbench.runtime.artifacts import content_hash, read_json
from tests.distributed.conftest import DATA, EVALUATION, INVERTED, SYNTHETIC, weights

pytestmark = pytest.mark.long

SEVERAL = pytest.mark.parametrize("processes", [2, 4])
ROUND = ("--seed", "0", "--round", "1", *DATA, "--start", "base1")
METHODS = {
    "reflow": ("--synthetic", "synthetic1"),
    "rca": ("--synthetic", "synthetic1", "--inverted", "inverted1"),
    "ocar": (),
}


@SEVERAL
@pytest.mark.parametrize(
    ("stage", "arguments", "one"),
    [("generate_pairs", SYNTHETIC, "synthetic1"), ("rca_regenerate", INVERTED, "inverted1")],
)
def test_pairs_are_the_same_bytes(spread, stage, arguments, one, processes):
    out = f"{one}-{processes}"
    said = spread.stage(stage, *arguments, "--out", out, processes=processes)
    assert content_hash(spread.folder / out) == content_hash(spread.folder / one)
    assert said.stderr.count("100%") == 1, "one bar, not one for each process"
    assert not list((spread.folder / ".scratch/resume").glob("*"))


@pytest.fixture(scope="module")
def evaluated(spread):
    spread.stage("evaluate", *EVALUATION, "--out", "evaluation1")
    return spread.folder / "evaluation1"


@SEVERAL
def test_evaluations_are_the_same_bytes(spread, evaluated, processes):
    out = spread.folder / f"evaluation{processes}"
    spread.stage("evaluate", *EVALUATION, "--out", out.name, processes=processes)
    assert read_json(out / "metrics.json") == read_json(evaluated / "metrics.json")
    assert content_hash(out) == content_hash(evaluated)


@pytest.fixture(scope="module")
def trained(spread):
    """Models and curves of one process."""
    for method, stored in METHODS.items():
        extra = ("--method", method, *stored, "--plots", f"plots/{method}1", "--out", f"{method}1")
        spread.stage("train_round", *ROUND, *extra)
    return spread.folder


def curve(folder):
    return np.genfromtxt(folder / "curves.csv", delimiter=",", skip_header=1)


@pytest.mark.parametrize(("method", "processes"), [("reflow", 2), ("rca", 2), ("rca", 4), ("ocar", 4)])
def test_trainings_are_the_same_to_rounding(spread, trained, method, processes):
    """Of 30 rows, four processes have 7 or 8 each. Pairs are rebuilt and made online by all of them."""
    name = f"{method}{processes}"
    extra = ("--method", method, *METHODS[method], "--plots", f"plots/{name}", "--out", name)
    spread.stage("train_round", *ROUND, *extra, processes=processes)
    facts, expected = (read_json(trained / folder / "train.json") for folder in (name, f"{method}1"))
    assert {k: v for k, v in facts.items() if "evaluations" in k} == {
        k: v for k, v in expected.items() if "evaluations" in k
    }
    assert facts["final_loss"] == pytest.approx(expected["final_loss"], rel=1e-4)
    np.testing.assert_allclose(curve(trained / f"plots/{name}"), curve(trained / f"plots/{method}1"), rtol=1e-3)
    ours, theirs = weights(trained / name), weights(trained / f"{method}1")
    start = weights(trained / "base1")
    apart, learnt = (max(np.abs(theirs[k] - other[k]).max() for k in start) for other in (ours, start))
    assert apart < 0.02 * learnt


def test_a_base_too_and_the_same_bytes_each_time(spread):
    arguments = (*DATA, "--seed", "0", "--coupling", "independent")
    for out in ("base2", "base2-again"):
        spread.stage("train_base", *arguments, "--out", out, processes=2)
    one, two = (read_json(spread.folder / out / "train.json")["final_loss"] for out in ("base1", "base2"))
    assert two == pytest.approx(one, rel=1e-4)
    assert content_hash(spread.folder / "base2") == content_hash(spread.folder / "base2-again")


def started(project, *arguments, processes):
    """Start a long training, and wait until its processes are at work and have saved."""
    run = project.saving("train_round", *arguments, REFLOWBENCH_PROCESSES=str(processes))
    workers = {
        int(child.environ()["RANK"]): child for child in psutil.Process(run.pid).children() if "RANK" in child.environ()
    }
    assert sorted(workers) == list(range(processes))
    return run, workers


LONG = ("--method", "rca", *METHODS["rca"])


@pytest.fixture
def longer(spread):
    before = (spread.folder / "params.yaml").read_text()
    spread.set_params(round__steps=150)
    yield spread
    (spread.folder / "params.yaml").write_text(before)


def test_what_stops_it_and_how_it_goes_on(longer):
    """A process that dies ends the job with an error; SIGTERM saves and ends all; then it goes on to the same bytes."""
    arguments = (*ROUND, *LONG)
    longer.stage("train_round", *arguments, "--out", "undisturbed", processes=2)
    run, workers = started(longer, *arguments, "--out", "disturbed", processes=2)
    workers[1].kill()
    _, said = run.communicate(timeout=120)
    assert run.returncode != 0 and "Most likely another one has ended" in said
    assert not any(worker.is_running() for worker in workers.values())
    assert not (longer.folder / "disturbed").exists()

    run, workers = started(longer, *arguments, "--out", "disturbed", processes=2)
    os.kill(run.pid, signal.SIGTERM)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 143 and said.count("saved; the next run goes on from here") == 1
    assert "resumes with" in said

    said = longer.stage("train_round", *arguments, "--out", "disturbed", processes=2).stderr
    assert "resumes with" in said
    assert content_hash(longer.folder / "disturbed") == content_hash(longer.folder / "undisturbed")


def test_the_error_of_a_process_is_the_jobs(spread):
    said = spread.stage("generate_pairs", *SYNTHETIC[:-1], "nothing", "--out", "x", processes=2, check=False)
    assert said.returncode == 1 and "nothing" in said.stderr
    assert "Traceback" not in said.stderr
    said = spread.stage("generate_pairs", *SYNTHETIC, "--out", "x", processes="0", check=False)
    assert said.returncode == 1 and "ERROR: environment variable REFLOWBENCH_PROCESSES = '0'" in said.stderr


def test_torchrun_starts_it_too(spread):
    command = ("python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    environment = {"REFLOWBENCH_THREADS": "1", "OMP_NUM_THREADS": "1"}
    spread.run(*command, "stages.generate_pairs", *SYNTHETIC, "--out", "by-torchrun", **environment)
    assert content_hash(spread.folder / "by-torchrun") == content_hash(spread.folder / "synthetic1")
    said = spread.run(*command, "stages.prepare_data", "--out", "a", "--heldout", "b", check=False, **environment)
    assert said.returncode and "this stage runs in one process" in said.stderr
