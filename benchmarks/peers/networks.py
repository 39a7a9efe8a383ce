"""The two networks that peers are compared on, the same weights for both sides."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from reflowbench.couplings.shared.base import Inputs
from reflowbench.couplings.shared.independent import Independent
from reflowbench.data.images import ImageSet
from reflowbench.metrics.features.classifier import Classifier, ClassifierTraining
from reflowbench.networks import registry
from reflowbench.profiles import resolve
from reflowbench.runtime.config import validate
from reflowbench.runtime.params import OptimParams, Params, UNetParams
from reflowbench.sources.load import load_images
from reflowbench.training.loop import Trainer

Call = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Of images or flat states, and times."""

PIXELS = (3, 32, 32)
PAPERS = UNetParams(
    name="unet", channels=128, multipliers=[1, 2, 2, 2], blocks=2, attention=[16], head_channels=64, dropout=0.1
)
"""The U-Net of the papers on CIFAR-10: 35.7M parameters."""


@cache
def params() -> Params:
    """Those of the default profile."""
    return validate(resolve("digits"), "profiles/digits.yaml")


@cache
def digits() -> tuple[ImageSet, ImageSet]:
    """Images of the default profile, and those held out."""
    return load_images(params().data)


@cache
def default() -> nn.Module:
    """The default network, trained for 800 steps: long enough that its samples are digits."""
    (data, _), network = digits(), fresh(0)
    base = params().base.model_copy(update={"steps": 800})
    trainer = Trainer(network, Independent(Inputs(0, 0, base.batch, base.steps, data)), base, 0, 0, path="base")
    for _ in trainer:
        pass
    return trainer.ema


def fresh(seed: int) -> nn.Module:
    """The default network before training."""
    return registry.build(params().network, digits()[0].shape, seed)


def papers(seed: int = 0, **changes: bool) -> nn.Module:
    """The paper's U-Net, ours. Its last layer, which begins as zero, is drawn: the velocities are of size 1."""
    network = registry.build(PAPERS.model_copy(update=changes), PIXELS, seed)
    torch.nn.init.normal_(network.output[-1].weight, std=0.03, generator=torch.Generator().manual_seed(seed))
    return network


def torchcfms() -> nn.Module:
    """Torchcfm's network of the same size, which is that of guided-diffusion."""
    wrapper = importlib.import_module("torchcfm.models.unet.unet").UNetModelWrapper
    network: nn.Module = wrapper(
        dim=PIXELS, num_res_blocks=2, num_channels=128, channel_mult=[1, 2, 2, 2], num_heads=4, num_head_channels=64,
        attention_resolutions="16", dropout=0.1,
    )  # fmt: skip
    return network


@cache
def classifier() -> Classifier:
    """The one in whose features the default profile is measured."""
    training = ClassifierTraining(digits()[0], params().features)
    for _ in training:
        pass
    return training.network.eval()


def trainer_of(
    network: nn.Module, data: ImageSet, optim: OptimParams, seed: int
) -> tuple[Trainer, Callable[[int], None]]:
    """Our training, and what takes so many of its steps."""
    coupling = Independent(Inputs(seed, 0, optim.batch, optim.steps, data), False)
    trainer = Trainer(network, coupling, optim, seed, 0, path="base")
    run = iter(trainer)

    def steps(count: int) -> None:
        for _ in range(count):
            next(run)

    return trainer, steps
