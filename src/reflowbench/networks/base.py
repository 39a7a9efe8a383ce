"""What networks on images share: flat states outside, images inside, and memory that does not grow with the batch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import nn

Shape = tuple[int, int, int]
"""(channels, height, width) of the images."""

MOST_ROWS = 256
"""Images evaluated at a time, at most: a block of the solvers."""
MOST_BYTES = 2**31
"""What these may take while a network is evaluated without gradients, roughly."""


def rows_at_a_time(values: int) -> int:
    """Images that a network evaluates together outside of training.

    A power of two, so that the blocks of the solvers are cut evenly and a row's result does not depend on how many
    there are. It depends on the network alone, not on the machine's memory, on which results must not depend.

    Args:
        values: Numbers that the network holds at a time for one image, at most.

    Returns:
        From 1 to `MOST_ROWS`.
    """
    fit = max(1, MOST_BYTES // (4 * values))
    return min(MOST_ROWS, 1 << (fit.bit_length() - 1))


class ImageNetwork(nn.Module, ABC):
    """A velocity network whose layers are convolutions."""

    def __init__(self, shape: Shape, values: int, channels_last: bool) -> None:
        """Prepare.

        Args:
            shape: Of the images.
            values: Numbers that the network holds at a time for one image, at most.
            channels_last: Whether images are laid out with their channels together.
        """
        super().__init__()
        self._shape = shape
        self.rows = rows_at_a_time(values)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format

    @abstractmethod
    def velocity(self, images: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Velocity of images, shape (n, channels, height, width), at times of shape (n,) or (1,); shaped like them."""

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Velocity at (x, t).

        Args:
            x: States, shape (n, channels * height * width).
            t: Times in [0, 1], shape (n,), or (1,) for one time for all.

        Returns:
            Velocities, shape (n, channels * height * width). In evaluation mode they are computed a few rows at a time.
        """
        if not len(x):
            return torch.zeros_like(x)
        if self.training or len(x) <= self.rows:
            return self._evaluated(x, t)
        parts = torch.split(x, self.rows)
        times = torch.split(t, self.rows) if len(t) > 1 else [t] * len(parts)
        return torch.cat([self._evaluated(*part) for part in zip(parts, times, strict=True)])

    def _evaluated(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        images = x.reshape(len(x), *self._shape).contiguous(memory_format=self._layout)
        return self.velocity(images, t).reshape(len(x), -1)


def time_features(t: torch.Tensor, size: int) -> torch.Tensor:
    """Sines and cosines of the time, at frequencies from 1 to 1000 rad per unit time in geometric progression.

    The transformer's encoding (Vaswani et al. 2017) of 1000 t, as diffusion models use it (Ho et al. 2020), with the
    slowest frequencies left out, at which times in [0, 1] do not differ.

    Args:
        t: Times, shape (n,).
        size: Features per time; even.

    Returns:
        Shape (n, size), in the type of t.
    """
    exponents = torch.linspace(0, math.log(1000.0), size // 2, device=t.device, dtype=t.dtype)
    angles = t[:, None] * exponents.exp()
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def largest_divisor(number: int, at_most: int) -> int:
    """Largest divisor of a number that is at most another one, and at least 1."""
    return next(d for d in range(max(1, min(number, at_most)), 0, -1) if number % d == 0)
