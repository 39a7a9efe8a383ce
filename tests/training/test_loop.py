import math

import pytest
import torch
from torch import nn

from reflowbench.core.optimizer import Adam
from reflowbench.couplings.shared.base import Coupling, Spent
from reflowbench.couplings.shared.independent import Independent
from reflowbench.errors import ReflowbenchError
from reflowbench.networks import registry
from reflowbench.training.loop import Trainer
from tests.conftest import NETWORK, SHAPE, round_params
from tests.couplings.methods import make


def train(network, coupling, params=None, seed=5, path="round"):
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    fresh = registry.build(NETWORK, SHAPE, seed=0)
    fresh.load_state_dict(weights)
    trainer = Trainer(fresh, coupling, params or round_params(), seed, round_=2, path=path)
    steps = list(trainer)
    return trainer, steps


def same(a, b):
    return all(torch.equal(a.state_dict()[name], b.state_dict()[name]) for name in a.state_dict())


class Fixed(Coupling):
    """Always the same pairs."""

    def __init__(self, x0, x1):
        super().__init__()
        self.pairs = x0, x1

    def batch(self, step, networks):
        return self.pairs


def test_lambda_zero_gives_the_weights_of_reflow_to_the_byte(network, inputs, tmp_path):
    reflow, _ = train(network, make("reflow", inputs))
    rca, _ = train(network, make("rca", inputs, real_fraction=0.0))
    registry.save(tmp_path / "a", reflow.ema, NETWORK, SHAPE)
    registry.save(tmp_path / "b", rca.ema, NETWORK, SHAPE)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    mixed, _ = train(network, make("rca", inputs, real_fraction=0.5))
    assert not same(reflow.ema, mixed.ema)


@pytest.mark.parametrize("law", ["u_shaped", "logit_normal"])
def test_the_law_of_times_is_used(network, inputs, law):
    uniform, other = (train(network, Independent(inputs), round_params(times=t))[0] for t in ("uniform", law))
    assert not same(uniform.ema, other.ema)


def test_the_round_ends_with_the_couplings_finish(network, inputs):
    neon, _ = train(network, make("neon", inputs, weight=0.5))
    reflow, _ = train(network, make("reflow", inputs))
    for name, value in neon.ema.named_parameters():
        before, after = network.get_parameter(name), reflow.ema.get_parameter(name)
        assert torch.allclose(value, 1.5 * before - 0.5 * after, atol=1e-6)


def test_training_is_deterministic_and_depends_on_the_seed(network, inputs):
    torch.manual_seed(0)
    first, _ = train(network, Independent(inputs))
    torch.manual_seed(1)
    assert same(first.ema, train(network, Independent(inputs))[0].ema)
    assert not same(first.ema, train(network, Independent(inputs), seed=6)[0].ema)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_optimizer_is_torchs_adam_or_adamw(network, decay):
    ours, theirs = ([nn.Parameter(p.detach().clone()) for p in network.parameters()] for _ in range(2))
    kind = torch.optim.AdamW if decay else torch.optim.Adam
    optimizer, reference = Adam(ours, decay), kind(theirs, fused=True, weight_decay=decay)
    draw = torch.Generator().manual_seed(0)
    for lr in (1e-2, 3e-3, 1e-3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=draw)
            b.grad = a.grad.clone()
        reference.param_groups[0]["lr"] = lr
        optimizer.step(lr)
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_weight_decay_is_that_of_adamw(network, inputs):
    """A step with it is the step without, less lr * decay of the weights before."""
    before = {name: value.clone() for name, value in network.named_parameters()}
    plain, decayed = (
        train(network, Independent(inputs), round_params(steps=1, ema=0.0, weight_decay=decay))[0].ema
        for decay in (0.0, 0.5)
    )
    for name, value in decayed.named_parameters():
        expected = plain.get_parameter(name) - round_params().lr * 0.5 * before[name]
        assert torch.allclose(value, expected, atol=1e-6)
    assert not same(plain, decayed)


def test_ema_is_the_average_it_says(network, inputs):
    params = round_params(ema=0.75, steps=1)
    before = {name: value.clone() for name, value in network.named_parameters()}
    trainer, _ = train(network, Independent(inputs), params)
    for name, average in trainer.ema.named_parameters():
        after = dict(trainer._network.named_parameters())[name]
        assert torch.allclose(average, 0.75 * before[name] + 0.25 * after, atol=1e-6)


def test_without_averaging_the_model_is_the_network(network, inputs):
    trainer, _ = train(network, Independent(inputs), round_params(ema=0.0))
    assert same(trainer.ema, trainer._network)


def test_learning_rate_schedule(network, inputs):
    cosine = round_params(steps=100, warmup=10, schedule="cosine")
    trainer = Trainer(network, Independent(inputs), cosine, 0, 0, path="round")
    factors = [trainer._lr_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == pytest.approx(factors[9], abs=0.03)
    assert factors[50] == pytest.approx(0.5) and factors[99] == pytest.approx(0, abs=1e-3)
    ending = Trainer(network, Independent(inputs), cosine.model_copy(update={"lr_end": 1e-3}), 0, 0, path="round")
    for step in (10, 50, 99):  # lr 1e-2 falls along the same cosine, to a tenth
        assert ending._lr_factor(step) == pytest.approx(0.1 + 0.9 * factors[step])
    constant = Trainer(network, Independent(inputs), round_params(steps=100, warmup=10), 0, 0, path="round")
    assert [constant._lr_factor(step) for step in (0, 9, 50, 99)] == [pytest.approx(0.1), 1, 1, 1]


def test_a_straight_coupling_is_learned(network, inputs):
    x0 = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    params = round_params(steps=300, lr=1e-2, ema=0.9)
    trainer, steps = train(network, Fixed(x0, x0 + 0.5), params)
    assert steps[-1].loss < 0.01 * steps[0].loss
    assert trainer.facts()["final_loss"] == pytest.approx(sum(s.loss for s in steps[-30:]) / 30)


def test_facts_count_the_cost(network, inputs):
    trainer, _ = train(network, make("rca", inputs, regenerate_every=3, source="ema"))
    facts = trainer.facts(Spent(forward=100, inversion=10))
    assert (facts["updates"], facts["train_evaluations"]) == (8, 8 * 24)
    assert (facts["forward_evaluations"], facts["inversion_evaluations"]) == (100, 10 + 2 * 40 * 3)
    online, _ = train(network, make("ocar", inputs, replay=1, solver="euler", steps=2, real_fraction=0.25))
    facts = online.facts()
    assert (facts["forward_evaluations"], facts["inversion_evaluations"]) == (8 * 18 * 2, 8 * 6 * 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_names_round_step_and_parameter(network, inputs, bad):
    class Breaks(Coupling):
        def batch(self, step, networks):
            x = torch.ones(4, 16)
            return x, x * (bad if step == 3 else 1)

    with pytest.raises(ReflowbenchError, match=r"diverged in round 2 at step 3.*lower round.lr"):
        train(network, Breaks())
    with pytest.raises(ReflowbenchError, match=r"lower theory_gaussian.base.lr or theory_gaussian.base.clip"):
        train(network, Breaks(), path="theory_gaussian.base")


def test_gradients_are_clipped(inputs):
    class Steep(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x, t):
            return self.weight * 1e6 + 0 * x

    network = Steep()
    coupling = Fixed(torch.zeros(4, 2), torch.ones(4, 2))
    steps = list(Trainer(network, coupling, round_params(steps=2), 0, 1, path="round"))
    assert steps[0].gradient_norm > 1e5  # reported as it was
    assert network.weight.grad.norm() <= 1.0001  # used as clipped
