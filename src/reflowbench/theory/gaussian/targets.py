"""Laws that rectified flows are trained on, with everything about them in closed form.

All lie well within [-1, 1], where the library clips synthetic pairs: every mean is at least 4 standard deviations
away from -1 and 1 in every coordinate, so that clipping hardly changes a model that has learned the law.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
import torch

from reflowbench.core.gaussians import Gaussian
from reflowbench.core.randomness import generator
from reflowbench.data.images import ImageSet

TargetName = Literal["gaussian", "mixture"]
_HALVINGS = 40
"""Of a bracket that is at most 2 wide: 2e-12 is left of it."""


@dataclass(frozen=True, eq=False)
class Target(ABC):
    """A law on R^dim.

    Attributes:
        dim: Values per point, at least 2.
    """

    dim: int

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw points.

        Args:
            n: How many.
            generator: Where the randomness comes from.

        Returns:
            Float32 points, shape (n, dim); and the mode that each is of, int64, shape (n,).
        """

    @property
    @abstractmethod
    def moments(self) -> Gaussian:
        """Exact mean and covariance."""

    @abstractmethod
    def quantiles(self, directions: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Exact quantiles of the law projected to lines.

        Args:
            directions: Unit vectors, shape (k, dim), float64.
            levels: Probabilities in (0, 1), shape (n,), float64.

        Returns:
            Shape (n, k).
        """

    @abstractmethod
    def velocity(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """E[x1 - x0 | x_t = x] of the independent coupling with N(0, I): what a perfect base model has learned.

        Args:
            x: States, shape (n, dim).
            t: Times in [0, 1], shape (n,) or (1,).

        Returns:
            Velocities, shape (n, dim).
        """


@dataclass(frozen=True, eq=False)
class DiagonalGaussian(Target):
    """N(m, diag(c)): standard deviations fall geometrically from 0.2 to 0.05; no mean is 0.

    The mean of a coordinate is half of what 4 standard deviations leave to 1, (1 - 4 std) / 2: 0.1 to 0.4, of
    alternating sign.
    """

    @cached_property
    def std(self) -> torch.Tensor:
        """Standard deviations, shape (dim,), float64."""
        return 0.2 * 0.25 ** (torch.arange(self.dim, dtype=torch.float64) / (self.dim - 1))

    @cached_property
    def mean(self) -> torch.Tensor:
        """Mean, shape (dim,), float64."""
        sign = 1 - 2 * (torch.arange(self.dim, dtype=torch.float64) % 2)
        return sign * (1 - 4 * self.std) / 2

    def sample(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Target.sample`."""
        points = self.mean + self.std * torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return points.float(), torch.zeros(n, dtype=torch.int64)

    @property
    def moments(self) -> Gaussian:
        """Exact mean and covariance."""
        return Gaussian(self.mean.numpy(), np.diag(self.std.numpy() ** 2))

    def quantiles(self, directions: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """See `Target.quantiles`."""
        spread = (directions * self.std).norm(dim=1)
        quantiles: torch.Tensor = torch.special.ndtri(levels)[:, None] * spread + directions @ self.mean
        return quantiles

    def velocity(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """See `Target.velocity`: m + (t c - (1 - t)) / ((1 - t)^2 + t^2 c) (x - t m); its flow is m + sqrt(c) x0."""
        t, c, m = t[:, None], self.std.to(x.dtype) ** 2, self.mean.to(x.dtype)
        velocity: torch.Tensor = m + (t * c - (1 - t)) / ((1 - t) ** 2 + t**2 * c) * (x - t * m)
        return velocity

    def straight_velocity(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The field after one perfect Reflow: that of straight lines from x0 to m + sqrt(c) x0 (same shapes)."""
        t, s, m = t[:, None], self.std.to(x.dtype), self.mean.to(x.dtype)
        velocity: torch.Tensor = m + (s - 1) * (x - t * m) / (1 - t + t * s)
        return velocity


@dataclass(frozen=True, eq=False)
class Mixture(Target):
    """Four isotropic Gaussians of unequal weights, their centres on a circle in the first two coordinates.

    Attributes:
        weights: Of the modes; they add up to 1.
        radius: Of the circle.
        std: Standard deviation of every mode in every coordinate.
    """

    weights: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    radius: float = 0.6
    std: float = 0.08

    @cached_property
    def centres(self) -> torch.Tensor:
        """Means of the modes, shape (modes, dim), float64."""
        centres = torch.zeros(len(self.weights), self.dim, dtype=torch.float64)
        angle = (torch.arange(len(self.weights), dtype=torch.float64) + 0.5) * (2 * math.pi / len(self.weights))
        centres[:, :2] = self.radius * torch.stack([angle.cos(), angle.sin()], dim=1)
        return centres

    @cached_property
    def shares(self) -> torch.Tensor:
        """The weights, shape (modes,), float64."""
        return torch.tensor(self.weights, dtype=torch.float64)

    def sample(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Target.sample`."""
        mode = torch.multinomial(self.shares, n, replacement=True, generator=generator)
        shift = self.std * torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return (self.centres[mode] + shift).float(), mode

    @property
    def moments(self) -> Gaussian:
        """Exact mean and covariance."""
        mean = self.shares @ self.centres
        spread = self.centres - mean
        covariance = self.std**2 * torch.eye(self.dim, dtype=torch.float64) + spread.T @ (self.shares[:, None] * spread)
        return Gaussian(mean.numpy(), covariance.numpy())

    def quantiles(self, directions: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """See `Target.quantiles`: by bisection on the distribution function, between the modes' own quantiles."""
        centres = self.centres @ directions.T
        own: torch.Tensor = centres[:, None, :] + self.std * torch.special.ndtri(levels)[:, None]
        low, high = own.amin(dim=0), own.amax(dim=0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = self.cdf(middle, centres) < levels[:, None]
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def cdf(self, x: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        """Distribution functions on lines.

        Args:
            x: Places, shape (n, k): n on each of k lines.
            centres: Means of the modes along the lines, shape (modes, k).

        Returns:
            Probabilities, shape (n, k).
        """
        levels = torch.zeros_like(x)
        for weight, centre in zip(self.weights, centres, strict=True):
            levels += weight * torch.special.ndtr((x - centre) / self.std)
        return levels

    def velocity(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """See `Target.velocity`: the modes' own fields, each with its probability given x_t = x."""
        t, centres = t[:, None], self.centres.to(x.dtype)
        variance = (1 - t) ** 2 + (t * self.std) ** 2
        gain = (t * self.std**2 - (1 - t)) / variance
        offsets = x[:, None, :] - t[:, :, None] * centres
        score = self.shares.log().to(x.dtype) - offsets.square().sum(dim=2) / (2 * variance)
        probability = score.softmax(dim=1)
        fields = centres + gain[:, :, None] * offsets
        velocity: torch.Tensor = (probability[:, :, None] * fields).sum(dim=1)
        return velocity


@cache
def target(name: TargetName, dim: int) -> Target:
    """The law of a name in dim dimensions; the same object each time."""
    return DiagonalGaussian(dim) if name == "gaussian" else Mixture(dim)


def as_images(law: Target, points: int, seed: int) -> ImageSet:
    """A training set of a law, as images of one channel, one row and dim columns.

    Args:
        law: Whose points.
        points: How many.
        seed: Which points.

    Returns:
        Points with their modes as labels. They are never rounded to grey levels.
    """
    x, mode = law.sample(points, generator(seed, "theory points"))
    return ImageSet(x, mode, (1, 1, law.dim), levels=2, dequantized=False)
