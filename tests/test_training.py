import math

import pytest
import torch
from torch import nn

from reflowbench.core.config import BaseParams, RcaParams, ReflowParams
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.networks import registry
from reflowbench.couplings.base import Coupling
from reflowbench.couplings.independent import Independent
from reflowbench.couplings.rca import Rca
from reflowbench.couplings.reflow import Reflow
from reflowbench.training.loop import Trainer
from reflowbench.training.optimizer import Adam
from tests.conftest import NETWORK, round_params


def train(network, coupling, params=None, seed=5):
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    fresh = registry.build(NETWORK, 16, seed=0)
    fresh.load_state_dict(weights)
    trainer = Trainer(fresh, coupling, params or round_params(), seed, round_=2)
    steps = list(trainer)
    return trainer, steps


def same(a, b):
    return all(torch.equal(a.state_dict()[name], b.state_dict()[name]) for name in a.state_dict())


class Fixed(Coupling):
    """Always the same pairs."""

    def __init__(self, x0, x1):
        self.pairs = x0, x1

    def batch(self, step, networks):
        return self.pairs


def test_lambda_zero_gives_the_weights_of_reflow_to_the_byte(network, round_, tmp_path):
    params = RcaParams(real_fraction=0.0, regenerate_every=2, source="raw")
    reflow, _ = train(network, Reflow(ReflowParams(), round_))
    rca, _ = train(network, Rca(params, round_))
    assert same(reflow.ema, rca.ema)
    registry.save(tmp_path / "a", reflow.ema, NETWORK, 16)
    registry.save(tmp_path / "b", rca.ema, NETWORK, 16)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    mixed, _ = train(network, Rca(params.model_copy(update={"real_fraction": 0.5}), round_))
    assert not same(reflow.ema, mixed.ema)


def test_training_is_deterministic_and_depends_on_the_seed(network, round_):
    torch.manual_seed(0)
    first, _ = train(network, Independent(round_))
    torch.manual_seed(1)
    assert same(first.ema, train(network, Independent(round_))[0].ema)
    assert not same(first.ema, train(network, Independent(round_), seed=6)[0].ema)


def test_the_optimizer_is_torchs_adam(network):
    ours, theirs = ([nn.Parameter(p.detach().clone()) for p in network.parameters()] for _ in range(2))
    optimizer, reference = Adam(ours), torch.optim.Adam(theirs, fused=True)
    draw = torch.Generator().manual_seed(0)
    for lr in (1e-2, 3e-3, 1e-3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=draw)
            b.grad = a.grad.clone()
        reference.param_groups[0]["lr"] = lr
        optimizer.step(lr)
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_ema_is_the_average_it_says(network, round_):
    params = round_params(ema=0.75, steps=1)
    before = {name: value.clone() for name, value in network.named_parameters()}
    trainer, _ = train(network, Independent(round_), params)
    for name, average in trainer.ema.named_parameters():
        after = dict(trainer._network.named_parameters())[name]
        assert torch.allclose(average, 0.75 * before[name] + 0.25 * after, atol=1e-6)


def test_without_averaging_the_model_is_the_network(network, round_):
    trainer, _ = train(network, Independent(round_), round_params(ema=0.0))
    assert same(trainer.ema, trainer._network)


def test_learning_rate_schedule(network, round_):
    trainer = Trainer(network, Independent(round_), round_params(steps=100, warmup=10, schedule="cosine"), 0, 0)
    factors = [trainer._lr_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == pytest.approx(factors[9], abs=0.03)
    assert factors[50] == pytest.approx(0.5) and factors[99] == pytest.approx(0, abs=1e-3)
    constant = Trainer(network, Independent(round_), round_params(steps=100, warmup=10), 0, 0)
    assert [constant._lr_factor(step) for step in (0, 9, 50, 99)] == [pytest.approx(0.1), 1, 1, 1]


def test_a_straight_coupling_is_learned(network, round_):
    x0 = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    params = round_params(steps=300, lr=1e-2, ema=0.9)
    trainer, steps = train(network, Fixed(x0, x0 + 0.5), params)
    assert steps[-1].loss < 0.01 * steps[0].loss
    assert trainer.facts()["final_loss"] == pytest.approx(sum(s.loss for s in steps[-30:]) / 30)


def test_facts_count_the_cost(network, round_):
    params = RcaParams(real_fraction=0.5, regenerate_every=3, source="ema")
    trainer, _ = train(network, Rca(params, round_))
    facts = trainer.facts(stored_pair_evaluations=100)
    assert (facts["steps"], facts["train_evaluations"]) == (8, 8 * 24)
    assert facts["pair_evaluations"] == 100 + 2 * 40 * 3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_names_round_step_and_parameter(network, round_, bad):
    class Breaks(Coupling):
        def batch(self, step, networks):
            x = torch.ones(4, 16)
            return x, x * (bad if step == 3 else 1)

    with pytest.raises(ReflowbenchError, match=r"diverged in round 2 at step 3.*lower round.lr"):
        train(network, Breaks())
    base = BaseParams(**round_params().model_dump())
    with pytest.raises(ReflowbenchError, match=r"lower base.lr"):
        train(network, Breaks(), base)


def test_gradients_are_clipped(round_):
    class Steep(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x, t):
            return self.weight * 1e6 + 0 * x

    network = Steep()
    steps = list(Trainer(network, Fixed(torch.zeros(4, 2), torch.ones(4, 2)), round_params(steps=2), 0, 1))
    assert steps[0].gradient_norm > 1e5  # reported as it was
    assert network.weight.grad.norm() <= 1.0001  # used as clipped
