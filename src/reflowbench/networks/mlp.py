"""Residual MLP velocity network: the fastest choice for 8x8 images on a CPU."""

from __future__ import annotations

import math

import torch
from torch import nn

from reflowbench.networks.base import Shape
from reflowbench.runtime.params import MLPParams


class ResidualBlock(nn.Module):
    """x + W2 silu(W1 LayerNorm(x) + W3 e(t)); the time enters every block."""

    def __init__(self, width: int, time_features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.time = nn.Linear(time_features, width)
        self.second = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Map (n, width) and (n or 1, time_features) to (n, width)."""
        if len(embedding) == 1:  # one time for all: a bias
            bias = self.first.bias + self.time(embedding)[0]
            hidden = nn.functional.linear(self.norm(x), self.first.weight, bias)
        else:
            hidden = self.first(self.norm(x)) + self.time(embedding)
        update: torch.Tensor = self.second(nn.functional.silu(hidden))
        return x + update


class MLP(nn.Module):
    """Velocity network on flattened images."""

    frequencies: torch.Tensor

    def __init__(self, shape: Shape, params: MLPParams) -> None:
        """Build the network; it starts as the zero field.

        Args:
            shape: (channels, height, width) of the images, of which only the number of values counts.
            params: How large it is.
        """
        super().__init__()
        dim = math.prod(shape)
        half = params.time_features // 2
        # Up to 100 rad per unit time: resolves the steps of the fixed-step solvers used here.
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(100.0), half)), persistent=False)
        self.input = nn.Linear(dim, params.hidden)
        self.blocks = nn.ModuleList(ResidualBlock(params.hidden, params.time_features) for _ in range(params.blocks))
        self.output = nn.Linear(params.hidden, dim)
        nn.init.zeros_(self.output.weight)  # starts as the zero field
        nn.init.zeros_(self.output.bias)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Velocity at (x, t).

        Args:
            x: States, shape (n, dim).
            t: Times in [0, 1], shape (n,), or (1,) for one time for all.

        Returns:
            Velocities, shape (n, dim).
        """
        angle = t[:, None] * self.frequencies
        embedding = torch.cat([angle.sin(), angle.cos()], dim=1)
        hidden = self.input(x)
        for block in self.blocks:
            hidden = block(hidden, embedding)
        velocity: torch.Tensor = self.output(hidden)
        return velocity
