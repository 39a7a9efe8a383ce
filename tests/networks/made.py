"""Small convolutional networks that have something to say."""

import torch

from reflowbench.networks import registry
from reflowbench.runtime.params import UNetParams

IMAGE = (2, 8, 8)
PAPER = UNetParams(
    name="unet", channels=128, multipliers=[1, 2, 2, 2], blocks=2, attention=[16], head_channels=64, dropout=0.1
)
UNET = UNetParams(name="unet", channels=8, multipliers=[1, 2], blocks=1, attention=[4], head_channels=8, dropout=0.1)


def stirred(network, scale=0.1):
    """Every weight moved by noise: networks start as the zero field, and hide behind it what they compute."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(scale * torch.randn(weight.shape, generator=draw))
    return network


def made(params=UNET, shape=IMAGE, seed=0):
    """A network in evaluation mode, with all weights at work."""
    return stirred(registry.build(params, shape, seed)).eval()


def states(n, shape=IMAGE, seed=0):
    """States and times, shapes (n, values) and (n,)."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, torch.Size(shape).numel(), generator=draw), torch.rand(n, generator=draw)
