import math
from typing import get_args

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from reflowbench.controls.gans.gan import GanTrainer, gradient_penalty
from reflowbench.controls.gans.layers import Discriminator, MinibatchDiscrimination, StackedLinear
from reflowbench.controls.gans.mixtures import mixture
from reflowbench.controls.gans.modes import mode_scores
from reflowbench.controls.gans.params import GanParams, Variant
from reflowbench.errors import ReflowbenchError

VARIANTS = get_args(Variant)


def params(**changes):
    values = {"hidden": 32, "layers": 2, "latent": 8, "steps": 12, "batch": 32, "lr": 2e-3, "beta1": 0.5}
    values |= {"beta2": 0.999, "noise": 0.5, "critic_steps": 5, "penalty": 0.1, "kernels": 3, "kernel_dim": 2}
    return GanParams(**(values | {"group": 16, "packing": 2} | changes))


def draws(seeds=2):
    return [torch.Generator().manual_seed(seed) for seed in range(seeds)]


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def trained(variant, seeds, **changes):
    trainer = GanTrainer(mixture("ring"), variant, params(**changes), seeds)
    steps = list(trainer)
    assert [step.number for step in steps] == list(range(len(trainer)))
    return trainer.sample(50)


def test_a_stacked_layer_is_each_seeds_own():
    layer, x = StackedLinear(draws(), 3, 4), normal(2, 5, 3)
    layer.bias.data.normal_(generator=torch.Generator().manual_seed(1))
    for seed in range(2):
        assert torch.allclose(layer(x)[seed], x[seed] @ layer.weight[seed] + layer.bias[seed], atol=1e-6)


def test_minibatch_discrimination_is_the_papers_sum():
    group, kernels, kernel_dim = 4, 3, 2
    layer, x = MinibatchDiscrimination(draws(), 5, kernels, kernel_dim, group), normal(2, 8, 5)
    out = layer(x).detach()
    assert out.shape == (2, 8, 5 + kernels) and torch.equal(out[:, :, :5], x)
    for seed in range(2):
        rows = (x[seed] @ layer.weight[seed].detach()).reshape(8, kernels, kernel_dim)
        for i in range(8):
            others = range(i // group * group, i // group * group + group)
            for b in range(kernels):
                expected = sum(math.exp(-float((rows[i, b] - rows[j, b]).abs().sum())) for j in others)
                assert float(out[seed, i, 5 + b]) == pytest.approx(expected, rel=1e-5)


def test_equal_samples_are_closest():
    layer = MinibatchDiscrimination(draws(1), 5, 3, 2, group=8)
    same, different = layer(normal(1, 1, 5).expand(1, 8, 5)), layer(normal(1, 8, 5))
    assert torch.allclose(same[:, :, 5:], torch.full((1, 8, 3), 8.0))
    assert (different[:, :, 5:] < 8).all()


def test_packed_points_are_judged_together():
    network, x = Discriminator(draws(), 8, 2, packing=4), normal(2, 12, 2)
    logits = network(x)
    assert logits.shape == (2, 3) and network.hidden[0].weight.shape == (2, 8, 8)
    changed = x.clone()
    changed[0, 5] += 1  # in the second pack of seed 0
    assert (network(changed) != logits).nonzero().tolist() == [[0, 1]]


def test_gradient_penalty_of_a_linear_critic():
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[3.0, 4.0], [0.6, 0.8]]))  # of norms 5 and 1

        def forward(self, x):
            return (x * self.weight[:, None]).sum(dim=2)

    critic = Linear()
    penalty = gradient_penalty(critic, normal(2, 6, 2))
    assert torch.allclose(penalty, torch.tensor([16.0, 0.0]), atol=1e-5)
    penalty[0].backward()  # d (|w| - 1)^2 / dw = 2 (|w| - 1) w / |w|
    assert torch.allclose(critic.weight.grad[0], 8 * torch.tensor([0.6, 0.8]), atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_seed_does_not_depend_on_those_beside_it(variant):
    together = trained(variant, [0, 3, 8])
    alone = trained(variant, [3])
    assert torch.allclose(together[1], alone[0], atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_is_deterministic_and_variants_differ(variant):
    torch.manual_seed(0)
    first = trained(variant, [0, 1])
    torch.manual_seed(1)
    assert torch.equal(first, trained(variant, [0, 1]))
    assert variant == "plain" or not torch.allclose(first, trained("plain", [0, 1]), atol=1e-4)


def test_the_critic_is_updated_more_often():
    trainer = GanTrainer(mixture("ring"), "wgan_gp", params(critic_steps=3), [0])
    seen = []
    for _ in trainer:
        seen.append(trainer.generator.output.bias.detach().clone())
    moved = [not torch.equal(a, b) for a, b in zip([torch.zeros(1, 1, 2), *seen], seen, strict=False)]
    assert moved == [False, False, True] * 4


def test_instance_noise_falls_to_nothing(monkeypatch):
    levels, loss = [], GanTrainer._discriminator_loss

    def record(self, drawn, fake, level):
        levels.append(level)
        return loss(self, drawn, fake, level)

    monkeypatch.setattr(GanTrainer, "_discriminator_loss", record)
    trained("noise", [0], steps=5)
    assert levels == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    levels.clear()
    trained("plain", [0], steps=2)
    assert levels == [0, 0]


def test_divergence_is_an_error():
    trainer = GanTrainer(mixture("ring"), "plain", params(), [0])
    trainer.generator.output.bias.data.fill_(math.nan)
    with pytest.raises(ReflowbenchError, match="diverged at step 0: lower gans.gan.lr"):
        list(trainer)


@pytest.mark.parametrize("name", ["group", "packing"])
def test_a_batch_holds_whole_groups(name):
    with pytest.raises(ValidationError, match=f"multiple of {name} 5"):
        params(**{name: 5})


def test_the_plain_gan_loses_modes_that_packing_keeps():
    """The positive control: the metric sees a collapse that is known to happen, and its remedy."""
    truth, kl = mixture("ring"), {}
    for variant in ("plain", "packing"):
        trainer = GanTrainer(truth, variant, params(hidden=128, latent=64, steps=500, batch=128), [0, 1, 2])
        list(trainer)
        kl[variant] = [mode_scores(samples, truth).mode_kl for samples in trainer.sample(1000)]
    assert min(kl["plain"]) > math.log(8 / 4), "mass on at most 4 of 8 modes"
    assert max(kl["packing"]) < 0.5
