"""Small networks of several seeds at once: every weight has a leading dimension of seeds.

On a CPU the calls cost more than the sums of one small network, and a stack shares them. Networks of a stack do not
see each other: nothing here mixes seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn


def glorot(draws: Sequence[torch.Generator], fan_in: int, fan_out: int) -> nn.Parameter:
    """Uniform initial weights (Glorot and Bengio 2010), one matrix from each generator: (seeds, fan_in, fan_out)."""
    bound = math.sqrt(6 / (fan_in + fan_out))
    matrices = [torch.empty(fan_in, fan_out).uniform_(-bound, bound, generator=draw) for draw in draws]
    return nn.Parameter(torch.stack(matrices))


class StackedLinear(nn.Module):
    """x W + b for every seed: (seeds, n, inputs) to (seeds, n, outputs)."""

    def __init__(self, draws: Sequence[torch.Generator], inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = glorot(draws, inputs, outputs)
        self.bias = nn.Parameter(torch.zeros(len(draws), 1, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply every seed's layer to its own rows."""
        return torch.baddbmm(self.bias, x, self.weight)


def hidden_layers(draws: Sequence[torch.Generator], inputs: int, width: int, layers: int) -> nn.Sequential:
    """`layers` linear layers, each with ReLU: (seeds, n, inputs) to (seeds, n, width)."""
    stack: list[nn.Module] = []
    for index in range(layers):
        stack += [StackedLinear(draws, width if index else inputs, width), nn.ReLU()]
    return nn.Sequential(*stack)


class MinibatchDiscrimination(nn.Module):
    """How close each sample's features are to those of its group (Salimans et al. 2016, arXiv 1606.03498, section 3.2).

    With M = features T, of shape (n, kernels, kernel_dim), it appends o_b(i) = sum_j exp(-||M_ib - M_jb||_1) for every
    kernel b, over all j of the group of i (i itself too, as in the paper). The paper's group is the batch; here it is
    a part of it, since the cost grows with the square.
    """

    def __init__(
        self, draws: Sequence[torch.Generator], features: int, kernels: int, kernel_dim: int, group: int
    ) -> None:
        """Make the layer.

        Args:
            draws: One generator per seed, for the initial weights.
            features: Features of each sample.
            kernels: Kernels, the number of outputs that are appended.
            kernel_dim: Dimensions of each kernel.
            group: Consecutive samples that are compared; it must divide their number.
        """
        super().__init__()
        self.weight = glorot(draws, features, kernels * kernel_dim)
        self._shape = (group, kernels, kernel_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (seeds, n, features) to (seeds, n, features + kernels)."""
        group, kernels, kernel_dim = self._shape
        seeds, n, _ = x.shape
        projected = torch.bmm(x, self.weight).view(seeds, n // group, group, kernels, kernel_dim).transpose(2, 3)
        closeness = torch.exp(-torch.cdist(projected, projected, p=1)).sum(dim=-1)
        return torch.cat([x, closeness.transpose(2, 3).reshape(seeds, n, kernels)], dim=2)


class Generator(nn.Module):
    """Noise (seeds, n, latent) to points (seeds, n, 2)."""

    def __init__(self, draws: Sequence[torch.Generator], latent: int, width: int, layers: int) -> None:
        super().__init__()
        self.hidden = hidden_layers(draws, latent, width, layers)
        self.output = StackedLinear(draws, width, 2)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Points of noise."""
        points: torch.Tensor = self.output(self.hidden(z))
        return points


class Discriminator(nn.Module):
    """Points (seeds, n, 2) to logits (seeds, n / packing); high means real."""

    def __init__(
        self,
        draws: Sequence[torch.Generator],
        width: int,
        layers: int,
        packing: int = 1,
        minibatch: tuple[int, int, int] | None = None,
    ) -> None:
        """Make the network.

        Args:
            draws: One generator per seed, for the initial weights.
            width: Width of the hidden layers.
            layers: Number of hidden layers.
            packing: Consecutive points that are judged as one input of 2 * packing values (PacGAN, arXiv 1712.04086).
            minibatch: Kernels, their dimensions and the group of a minibatch discrimination layer before the output.
        """
        super().__init__()
        self.packing = packing
        self.hidden = hidden_layers(draws, 2 * packing, width, layers)
        self.compare = MinibatchDiscrimination(draws, width, *minibatch) if minibatch else nn.Identity()
        self.output = StackedLinear(draws, width + (minibatch[0] if minibatch else 0), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of points."""
        packed = x.reshape(len(x), x.shape[1] // self.packing, 2 * self.packing)
        logits: torch.Tensor = self.output(self.compare(self.hidden(packed)))
        return logits[:, :, 0]
