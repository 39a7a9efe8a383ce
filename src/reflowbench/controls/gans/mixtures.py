"""Mixtures of Gaussians on which the GAN literature counts lost modes: a ring of 8 and a grid of 25."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from reflowbench.controls.gans.params import MixtureName


@dataclass(frozen=True)
class Mixture:
    """Equally likely isotropic Gaussians in the plane.

    Attributes:
        name: Its name.
        centres: Means of the modes, shape (modes, 2).
        std: Standard deviation of every mode, in the units of `centres`.
        scale: Networks see the points divided by this. It is 1.25 times the largest coordinate of a centre, so
            that the points lie well within [-1, 1], where pairs of the library are clipped.
    """

    name: str
    centres: torch.Tensor
    std: float
    scale: float

    def __len__(self) -> int:
        return len(self.centres)

    def sample(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw points.

        Args:
            n: How many.
            generator: Where the randomness comes from; a mode and a displacement are drawn, in this order.

        Returns:
            Points, shape (n, 2), in the units of `centres`; and the mode that each is of, int64, shape (n,).
        """
        mode = torch.randint(len(self.centres), (n,), generator=generator)
        return self.centres[mode] + self.std * torch.randn(n, 2, generator=generator), mode

    def blob(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw from one Gaussian with the mixture's mean and variances: what covers modes by chance, shape (n, 2)."""
        spread = (self.centres.var(dim=0, correction=0) + self.std**2).sqrt()
        return self.centres.mean(dim=0) + spread * torch.randn(n, 2, generator=generator)


def ring() -> Mixture:
    """8 modes on a circle of radius 2, standard deviation 0.02.

    The convention of unrolled GANs (Metz et al. 2017, arXiv 1611.02163) and of the toy data of WGAN-GP (Gulrajani
    et al. 2017, arXiv 1704.00028). PacGAN's (arXiv 1712.04086) is the same at half the size, radius 1 and 0.01.

    Returns:
        The mixture, in two dimensions.
    """
    angle = torch.arange(8) * (math.pi / 4)
    return Mixture("ring", 2 * torch.stack([angle.cos(), angle.sin()], dim=1), std=0.02, scale=2.5)


def grid() -> Mixture:
    """25 modes at {-4, -2, 0, 2, 4} in both coordinates, standard deviation 0.05.

    The convention of VEEGAN (Srivastava et al. 2017, arXiv 1705.07761), PacGAN (Lin et al. 2018, arXiv 1712.04086)
    and the toy data of WGAN-GP.

    Returns:
        The mixture, in two dimensions.
    """
    line = torch.arange(-4.0, 5.0, 2.0)
    return Mixture("grid", torch.cartesian_prod(line, line), std=0.05, scale=5.0)


MIXTURES = {"ring": ring, "grid": grid}


def mixture(name: MixtureName) -> Mixture:
    """The mixture of a name."""
    return MIXTURES[name]()
