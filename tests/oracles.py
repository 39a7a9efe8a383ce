"""Closed forms that the library is tested against."""

from dataclasses import dataclass

import torch


@dataclass
class GaussianFlow:
    """Rectified flow from N(0, I) to N(mean, diag(variance)) on the independent coupling.

    v(x, t) = m + (t c - (1 - t)) / ((1 - t)^2 + t^2 c) (x - t m) per coordinate; its ODE maps x0 to m + sqrt(c) x0.
    """

    mean: torch.Tensor
    variance: torch.Tensor

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        t = t[:, None]
        c, m = self.variance, self.mean
        return m + (t * c - (1 - t)) / ((1 - t) ** 2 + t**2 * c) * (x - t * m)

    def forward_map(self, x0: torch.Tensor) -> torch.Tensor:
        return self.mean + self.variance.sqrt() * x0

    def inverse_map(self, x1: torch.Tensor) -> torch.Tensor:
        return (x1 - self.mean) / self.variance.sqrt()


@dataclass
class StraightGaussianFlow(GaussianFlow):
    """The same map after one perfect reflow: constant velocity along each path."""

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        t = t[:, None]
        scale = self.variance.sqrt()
        x0 = (x - t * self.mean) / (1 - t + t * scale)
        return self.mean + (scale - 1) * x0


def gaussian_flow(kind: type[GaussianFlow] = GaussianFlow) -> GaussianFlow:
    return kind(
        torch.tensor([0.5, -1.0, 0.0], dtype=torch.float64),
        torch.tensor([0.25, 1.5, 2.0], dtype=torch.float64),
    )
