"""A chain in one process gives the weights that the stages of the pipeline give."""

import argparse

import pytest
import torch

from reflowbench.couplings.shared.independent import Independent
from reflowbench.couplings.shared.method import Method
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import registry
from reflowbench.networks import registry as networks
from reflowbench.networks.model import load_facts, load_model, save_model
from reflowbench.runtime.config import read_yaml
from reflowbench.training.chain import Chain, base_trainer
from reflowbench.training.loop import Trainer
from stages import generate_pairs, rca_regenerate, train_round
from tests.conftest import NETWORK, PAIRS, ROOT, SHAPE, round_params
from tests.couplings.methods import POTENTIAL, params

SEED = 5


def chain_of(name, network, images, scratch, own=None, **changes):
    chosen = round_params(**changes)
    own = own or params(name)
    return Chain(network, images, registry.load(name), own, chosen, PAIRS, SEED, scratch, path="some.round")


def trained(chain, rounds=2):
    for _ in range(rounds):
        assert len(list(chain.train_round())) == 8
    return chain


def equal(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def through_files(tmp_path, monkeypatch, images, network):
    """Rounds by the scripts of the pipeline, with the tests' parameters: models and costs."""
    monkeypatch.chdir(tmp_path)
    values = read_yaml(ROOT / "params.yaml")
    values["methods"] = {name: {"method": name, **params(name).model_dump()} for name in registry.names()}
    values |= {"round": round_params().model_dump(), "pairs": PAIRS.model_dump()}
    (tmp_path / "params.yaml").write_text(str(values).replace("None", "null"))  # YAML reads Python's literals
    images.save(tmp_path / "data")
    save_model(tmp_path / "round0", network, NETWORK, images.shape, {}, lambda folder: None)

    def run(name, rounds=2):
        for k in range(1, rounds + 1):
            start, stored = tmp_path / f"round{k - 1}", registry.load(name).stored
            common = {
                "params": tmp_path / "params.yaml",
                "chain": None,
                "coupling": None,
                "seed": SEED,
                "round": k,
                "method": name,
            }
            common |= {"data": tmp_path / "data", "model": start, "start": start, "plots": None}
            folders = {kind: tmp_path / f"{kind}{k}" if kind in stored else None for kind in ("synthetic", "inverted")}
            for kind, script in (("synthetic", generate_pairs), ("inverted", rca_regenerate)):
                if kind in stored:
                    script.main(argparse.Namespace(**common, out=folders[kind]))
            train_round.main(argparse.Namespace(**common, **folders, out=tmp_path / f"round{k}"))
        return load_model(tmp_path / f"round{rounds}")[0], load_facts(tmp_path / f"round{rounds}")

    return run


@pytest.mark.parametrize("name", registry.names())
def test_every_method_gives_the_weights_and_the_cost_of_the_stages(name, network, images, tmp_path, through_files):
    """In the second round too, which starts from what the first left: weights, pairs, and what is carried."""
    before = {key: value.clone() for key, value in network.state_dict().items()}
    chain = trained(chain_of(name, network, images, tmp_path / "scratch"))
    model, facts = through_files(name)
    assert equal(chain.model, model) and chain.facts == facts
    assert chain.round == 2 and not chain.model.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items()), "the base is left alone"


def test_what_ot_fits_in_the_first_round_is_carried(network, images, tmp_path):
    own = params("ot", assignment="semidiscrete", potential=POTENTIAL)
    trained(chain_of("ot", network, images, tmp_path, own))
    assert (tmp_path / "round1/carried").is_dir() and (tmp_path / "round2/carried").is_dir()


def test_the_base_is_trained_on_independent_pairs(images, inputs):
    ours = base_trainer(images, NETWORK, round_params(), SEED, path="some.base")
    losses = [step.loss for step in ours]
    first = type(inputs)(SEED, 0, 24, 8, images)
    by_hand = Trainer(networks.build(NETWORK, SHAPE, SEED), Independent(first), round_params(), SEED, 0, path="base")
    assert losses == [step.loss for step in by_hand] and equal(ours.ema, by_hand.ema)


def test_seeds_differ_and_repeat(network, images, tmp_path):
    a, b = (trained(chain_of("reflow", network, images, tmp_path / name), 1) for name in "ab")
    assert equal(a.model, b.model)
    other = Chain(
        network, images, registry.load("reflow"), params("reflow"), round_params(), PAIRS, 6, tmp_path / "c", path="x"
    )
    assert not equal(trained(other, 1).model, a.model)


def test_a_round_that_diverges_says_so_and_leaves_the_last_model(network, images, tmp_path):
    chain = trained(chain_of("reflow", network, images, tmp_path, lr=1e-2), 1)
    before = chain.model
    torch.nn.init.constant_(before.output.bias, torch.inf)
    with pytest.raises(ReflowbenchError, match="non-finite values while making synthetic pairs of round 2"):
        list(chain.train_round())
    assert chain.model is before and chain.round == 1


def test_a_diverged_training_names_the_callers_parameters(network, images, tmp_path):
    class Breaks(Independent):
        def __init__(self, own, inputs):
            super().__init__(inputs)

        def batch(self, step, networks):
            x0, x1 = super().batch(step, networks)
            return x0, x1 * torch.inf

    method = Method(type(params("reflow")), Breaks)
    chain = Chain(network, images, method, params("reflow"), round_params(), PAIRS, SEED, tmp_path, path="some.round")
    with pytest.raises(ReflowbenchError, match=r"in round 1 at step 0.*lower some\.round\.lr or some\.round\.clip"):
        list(chain.train_round())
    assert chain.round == 0 and chain.facts == {}
