"""Mode metrics of the GAN literature: modes covered, share of high-quality samples, divergence over modes.

All are functions of samples, shape (n, 2), and of the modes' centres, shape (modes, 2), and standard deviation. As
VEEGAN (Srivastava et al. 2017, arXiv 1705.07761) and PacGAN (Lin et al. 2018, arXiv 1712.04086) define them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from reflowbench.controls.gans.mixtures import Mixture

RADIUS = 3.0
"""A sample is of high quality within so many standard deviations of a centre."""
EXPECTED_SHARE = 1 - math.exp(-(RADIUS**2) / 2)
"""Share of high-quality samples of the mixture itself, 0.9889: the squared distance is chi-square of 2 degrees."""


@dataclass(frozen=True)
class ModeScores:
    """How samples cover the modes.

    Attributes:
        covered: Number of modes that are nearest to at least one high-quality sample.
        high_quality: Share of samples within `RADIUS` standard deviations of the nearest centre, in [0, 1].
        mode_kl: KL divergence of the samples' histogram over modes from the uniform one, in nats.
    """

    covered: int
    high_quality: float
    mode_kl: float


def nearest(samples: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nearest centre of each sample.

    Returns:
        Distances in the samples' units, float64, and mode numbers, int64, each of shape (n,).
    """
    distance, mode = torch.cdist(samples.double(), centres.double()).min(dim=1)
    return distance, mode


def histogram(mode: torch.Tensor, modes: int) -> torch.Tensor:
    """Share of samples that are nearest to each mode, float64, shape (modes,)."""
    return torch.bincount(mode, minlength=modes).double() / len(mode)


def uniform_divergence(share: torch.Tensor) -> float:
    """KL(share || uniform) in nats: 0 for equal shares, log(modes) for a single mode.

    The reverse KL of PacGAN: model first. n samples of equally likely modes have about (modes - 1) / (2 n), the
    bias of the plug-in estimate, which is not taken off.

    Args:
        share: Shares that sum to 1, shape (modes,).

    Returns:
        The divergence, at least 0.
    """
    return float(torch.special.xlogy(share, share * len(share)).sum())


def mode_scores(samples: torch.Tensor, mixture: Mixture) -> ModeScores:
    """All mode metrics of samples.

    Args:
        samples: Finite points in the mixture's units, shape (n, 2).
        mixture: Whose modes.

    Returns:
        The metrics. Every sample counts in the histogram, near a mode or not.
    """
    distance, mode = nearest(samples, mixture.centres)
    good = distance < RADIUS * mixture.std
    return ModeScores(
        covered=len(set(mode[good].tolist())),
        high_quality=float(good.double().mean()),
        mode_kl=uniform_divergence(histogram(mode, len(mixture))),
    )
