"""A training, a making of pairs, an evaluation that is stopped after any part and resumed gives the same bytes."""

from dataclasses import replace

import pytest
import torch

from reflowbench.couplings.shared.independent import Independent
from reflowbench.methods import registry
from reflowbench.metrics.features.classifier import ClassifierTraining
from reflowbench.networks import registry as networks
from reflowbench.pairs.generate import inverted_pairs, synthetic_pairs
from reflowbench.pairs.store import PairWriter
from reflowbench.runtime.artifacts import read_tensors, write_tensors
from reflowbench.runtime.params import FeaturesParams, MonitorParams
from reflowbench.training.loop import Trainer
from reflowbench.training.monitor import Monitor
from tests.conftest import NETWORK, PAIRS, SHAPE, round_params
from tests.couplings.methods import make
from tests.networks.made import UNET

SMALL = {"regenerate_every": 3}


def through_a_file(state, path):
    """What a run that resumes is given: nothing of the objects of the first."""
    write_tensors(path, *state)
    return read_tensors(path)


def stopped_after(make_work, parts, path):
    """Run some parts, save, throw all away, and run the rest on new objects."""
    first = make_work()
    steps = iter(first)
    for _ in range(parts):
        next(steps)
    assert first.done == parts
    saved = through_a_file(first.state(), path)
    second = make_work()
    second.restore(*saved)
    assert second.done == parts
    return second, list(second)


def bytes_of(network, path):
    networks.save(path, network, NETWORK, SHAPE)
    return path.read_bytes()


@pytest.mark.parametrize("name", registry.names())
@pytest.mark.parametrize("parts", [1, 3, 4, 8])
def test_every_method_resumes_to_the_same_bytes(name, parts, network, inputs, images, tmp_path):
    """After the first step, before and after pairs were rebuilt, and after the last step."""
    own = {key: value for key, value in SMALL.items() if key in registry.load(name).params.model_fields}
    looks = MonitorParams(every=3, n_samples=40, nfe=2, grid_images=5)
    trainers = []

    def monitored():
        fresh = networks.build(NETWORK, SHAPE, seed=0)
        fresh.load_state_dict({key: value.clone() for key, value in network.state_dict().items()})
        trainers.append(Trainer(fresh, make(name, inputs, **own), round_params(), 5, 2, path="round"))
        return Monitor(trainers[-1], images, looks, 5, tmp_path / "plots")

    def plots():
        return [(tmp_path / "plots" / file).read_bytes() for file in ("curves.csv", "samples.png")]

    list(monitored())
    expected, shown, whole = bytes_of(trainers[-1].ema, tmp_path / "a"), plots(), trainers[-1]
    _, steps = stopped_after(monitored, parts, tmp_path / "state")
    assert len(steps) == 8 - parts
    assert bytes_of(trainers[-1].ema, tmp_path / "b") == expected and plots() == shown
    assert trainers[-1].facts() == whole.facts() and trainers[-1].steps == whole.steps


@pytest.mark.parametrize("parts", [1, 5])
@pytest.mark.parametrize(
    "changes",
    [{"precision": "fp16"}, {"precision": "bf16", "microbatch": 7}, {"ema_std": 0.1, "weight_decay": 0.1}],
)
def test_dropout_and_half_precision_resume_to_the_same_bytes(parts, changes, inputs, tmp_path):
    """With all that a network of the paper's scale is trained by, whatever torch's own randomness is at the time."""
    params = UNET.model_copy(update={"dropout": 0.5, "attention": [2], "channels_last": True})
    far = type(inputs.images)(inputs.images.images * 1e3, inputs.images.labels, SHAPE, 17, dequantized=True)

    def trainer():
        torch.manual_seed(len(trainers))
        coupling = Independent(replace(inputs, images=far, synthetic=None, inverted=None))
        trainers.append(
            Trainer(networks.build(params, SHAPE, 3), coupling, round_params(**changes), 5, 2, path="round")
        )
        return trainers[-1]

    trainers = []
    whole = trainer()
    steps = list(whole)
    work, rest = stopped_after(trainer, parts, tmp_path / "state")
    assert rest == steps[parts:] and work.state()[1] == whole.state()[1]
    if "fp16" in changes.values():
        assert work.state()[1]["scaler"]["scale"] < 65536, "the scale has been lowered, and was kept"
    states = [t.state()[0] for t in (whole, work)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0] if name != "random")


@pytest.mark.parametrize("kind", ["synthetic", "inverted"])
@pytest.mark.parametrize("parts", [0, 1, 2, 4])
def test_pairs(kind, parts, network, images, tmp_path):
    """Shards end within blocks, and blocks within shards."""
    params = PAIRS.model_copy(update={"n": 1000})
    made = (
        synthetic_pairs(network, params, 5, 2, 16)
        if kind == "synthetic"
        else inverted_pairs(network, images.images.repeat(25, 1), params, 5, 2)
    )
    folder = tmp_path / "whole"
    list(PairWriter(folder, *made, shard_rows=300))
    work, _ = stopped_after(lambda: PairWriter(tmp_path / "resumed", *made, shard_rows=300), parts, tmp_path / "state")
    assert work.done == len(work) == 4
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "resumed").iterdir()) and len(names) == 5
    assert all((folder / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes() for name in names)


@pytest.mark.parametrize("parts", [0, 3, 6])
def test_features(parts, images, tmp_path):
    params = FeaturesParams(dim=8, steps=6, batch=10, lr=0.01, seed=0)
    whole = ClassifierTraining(images, params)
    losses = list(whole)
    work, rest = stopped_after(lambda: ClassifierTraining(images, params), parts, tmp_path / "state")
    assert rest == losses[parts:]
    assert all(torch.equal(a, b) for a, b in zip(whole.network.parameters(), work.network.parameters(), strict=True))
