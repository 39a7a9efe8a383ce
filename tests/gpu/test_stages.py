"""On a GPU: the same bytes in every run, what the CPU gives up to rounding, and a training that goes on."""

import os
import signal

import numpy as np
import pytest
import torch

from reflowbench.cluster.gpus import visible
from reflowbench.data.latents import folder_digest
from reflowbench.runtime.artifacts import content_hash, read_json, read_tensors
from tests.data.autoencoder import save_autoencoder
from tests.distributed.conftest import weights
from tests.gpu.conftest import BASE, DATA, HELDOUT

pytestmark = pytest.mark.gpu

ROUND = ("--seed", "0", "--round", "1")
SMALL = {"name": "unet", "channels": 16, "multipliers": [1, 2], "blocks": 1, "attention": [16], "head_channels": 16,
         "dropout": 0.0}  # fmt: skip
"""A network that a CPU trains in seconds; dropout is drawn where the network is."""
IN_FLOAT32 = {
    "network": SMALL, "base__precision": "float32", "pairs__precision": "float32", "pairs__storage": "float32",
    "base__batch": 32,
}  # fmt: skip


def twice(stages, name, *arguments, out):
    """Outputs of two runs, which must be the same bytes; the folder of one."""
    for number in (1, 2):
        stages.stage(name, *arguments, "--out", f"{out}{number}")
    one, two = stages.folder / f"{out}1", stages.folder / f"{out}2"
    assert content_hash(one) == content_hash(two)
    return one


def on_both(stages, name, *arguments, out):
    """Outputs of a stage on the GPU and on the CPU."""
    for device in ("cuda", "cpu"):
        stages.stage(name, *arguments, "--out", f"{out}-{device}", device=device)
    return stages.folder / f"{out}-cuda", stages.folder / f"{out}-cpu"


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_a_training_is_the_same_bytes(stages, precision):
    stages.set_params(base__precision=precision)
    twice(stages, "train_base", *BASE, out=precision)


def test_trainings_are_close_in_any_precision(stages):
    """Without dropout, which draws other masks for other types."""
    losses = []
    for precision in ("float32", "bf16", "fp16"):
        stages.set_params(base__precision=precision, network__dropout=0.0)
        stages.stage("train_base", *BASE, "--out", f"plain-{precision}")
        losses.append(read_json(stages.folder / f"plain-{precision}/train.json")["final_loss"])
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=0.05)


def test_pairs_of_both_kinds_are_the_same_bytes(stages):
    arguments = (*ROUND, "--model", "base")
    many = twice(stages, "generate_pairs", *arguments, out="synthetic")
    twice(stages, "rca_regenerate", *arguments, *DATA, out="inverted")
    stages.set_params(pairs__n=256)
    stages.stage("generate_pairs", *arguments, "--out", "fewer")
    few, more = (read_tensors(folder / "shard-00000.safetensors")[0] for folder in (stages.folder / "fewer", many))
    assert all(torch.equal(value, more[name][:256]) for name, value in few.items())


@pytest.mark.parametrize("method", ["reflow", "rca", "ocar"])
def test_a_round_is_the_same_bytes(stages, method):
    stored = ()
    if method != "ocar":
        stages.stage("generate_pairs", *ROUND, "--model", "base", "--out", f"{method}-synthetic")
        stored = ("--synthetic", f"{method}-synthetic")
    if method == "rca":
        stages.stage("rca_regenerate", *ROUND, *DATA, "--model", "base", "--out", "rca-inverted")
        stored = (*stored, "--inverted", "rca-inverted")
    twice(stages, "train_round", "--method", method, *ROUND, *DATA, "--start", "base", *stored, out=method)


def test_an_evaluation_is_the_same_bytes(stages):
    arguments = (
        *DATA,
        *HELDOUT,
        "--space",
        "runs/data",
        "--features",
        "classifier.safetensors",
        "--model",
        "base",
        "--seed",
        "0",
        "--floor",
    )
    twice(stages, "evaluate", *arguments, out="evaluation")


def test_it_is_what_the_cpu_gives_up_to_rounding(stages):
    stages.set_params(**IN_FLOAT32)
    ours, theirs = (weights(folder) for folder in on_both(stages, "train_base", *BASE, out="small"))
    apart, size = (np.sqrt(sum((values[name] ** 2).sum() for name in ours)) for values in (
        {name: ours[name] - theirs[name] for name in ours}, theirs))  # fmt: skip
    assert 0 < apart < 5e-3 * size
    for name, more in (("generate_pairs", ()), ("rca_regenerate", DATA)):
        arguments = (*ROUND, *more, "--model", "small-cpu")
        folders = on_both(stages, name, *arguments, out=name)
        ours, theirs = (read_tensors(folder / "shard-00000.safetensors")[0] for folder in folders)
        for key, values in theirs.items():
            torch.testing.assert_close(ours[key], values, rtol=1e-3, atol=1e-3)


def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(stages):
    stages.set_params(network=SMALL | {"dropout": 0.1}, base__steps=400)
    stages.stage("train_base", *BASE, "--out", "undisturbed")
    run = stages.saving("train_base", *BASE, "--out", "disturbed", REFLOWBENCH_DEVICE="cuda", REFLOWBENCH_THREADS="2")
    os.kill(run.pid, signal.SIGTERM)
    assert "saved; the next run goes on from here" in run.communicate(timeout=120)[1]
    assert run.returncode == 143
    assert "resumes with" in stages.stage("train_base", *BASE, "--out", "disturbed").stderr
    assert content_hash(stages.folder / "disturbed") == content_hash(stages.folder / "undisturbed")


def test_a_compiled_network_learns_the_same(stages):
    losses = []
    for compiled in (False, True):
        stages.set_params(network=SMALL | {"compile": compiled}, base__precision="float32")
        stages.stage("train_base", *BASE, "--out", f"compiled-{compiled}")
        losses.append(read_json(stages.folder / f"compiled-{compiled}/train.json")["final_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_latents_are_the_same_bytes_and_those_of_the_cpu(stages):
    digest = folder_digest(save_autoencoder(stages.folder / "vae"))
    stages.set_params(latents__kind="autoencoder", latents__path="vae", latents__sha256=digest)
    twice(stages, "encode", *DATA, out="latents")
    ours, theirs = on_both(stages, "encode", *DATA, out="encoded")
    for one, other in zip(read_tensors(ours)[0].values(), read_tensors(theirs)[0].values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_each_process_has_a_gpu_of_its_own(stages):
    arguments = ("generate_pairs", *ROUND, "--model", "base", "--out")
    assert len(visible()) == torch.cuda.device_count()
    if torch.cuda.device_count() == 1:
        said = stages.stage(*arguments, "two", processes=2, check=False)
        assert said.returncode and "2 processes on this machine want a GPU each" in said.stderr
        return
    for processes in (1, 2):
        stages.stage(*arguments, f"by-{processes}", processes=processes)
    assert content_hash(stages.folder / "by-1") == content_hash(stages.folder / "by-2")
