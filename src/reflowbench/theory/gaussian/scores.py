"""How far samples are from a law whose moments, modes and quantiles are known.

Every function takes samples of shape (n, dim) and the law. They are to be finite: `scores` refuses others.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from reflowbench.core.gaussians import Gaussian, fit, squared_wasserstein
from reflowbench.core.randomness import noise
from reflowbench.metrics.measurement import UndefinedError
from reflowbench.theory.gaussian.targets import Mixture, Target


def bures(samples: Gaussian, law: Target) -> float:
    """2-Wasserstein distance between the Gaussians with the samples' and the law's moments (Bures' distance).

    It is the distance of the laws themselves where both are Gaussian. For a mixture it is a lower bound of it (Gelbrich
    1990): samples with the right mean and covariance have none, whatever their modes.

    Args:
        samples: Mean and covariance of the samples.
        law: What they should be.

    Returns:
        The distance, in the units of the points.
    """
    return float(np.sqrt(squared_wasserstein(law.moments, samples)))


def mean_error(samples: Gaussian, law: Target) -> float:
    """Distance of the means, in units of the law's spread: |m - m*| / sqrt(tr C*)."""
    exact = law.moments
    return float(np.linalg.norm(samples.mean - exact.mean) / np.sqrt(np.trace(exact.covariance)))


def covariance_error(samples: Gaussian, law: Target) -> float:
    """Relative Frobenius distance of the covariances: |C - C*| / |C*|."""
    exact = law.moments.covariance
    return float(np.linalg.norm(samples.covariance - exact) / np.linalg.norm(exact))


def variance_ratio(samples: Gaussian, law: Target) -> float:
    """Total variance of the samples over that of the law, tr C / tr C*: below 1 where a model has collapsed."""
    return float(np.trace(samples.covariance) / np.trace(law.moments.covariance))


def directions(dim: int, projections: int) -> torch.Tensor:
    """Random unit vectors, the same whenever they are asked for, shape (projections, dim), float64."""
    return torch.nn.functional.normalize(noise(0, "sliced directions", 0, range(projections), dim).double(), dim=1)


@cache
def _quantiles(law: Target, projections: int, n: int) -> torch.Tensor:
    """Quantiles of the law along the directions at the levels (i + 1/2) / n, shape (n, projections)."""
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return law.quantiles(directions(law.dim, projections), levels)


def sliced_wasserstein(samples: torch.Tensor, law: Target, projections: int) -> float:
    """Root mean square, over fixed random directions, of the 2-Wasserstein distance of the projections.

    Along a direction the optimal plan pairs quantiles: the i-th smallest of n samples with the law's exact quantile at
    (i + 1/2) / n, which stands for all levels from i / n to (i + 1) / n (Bonneel et al. 2015).

    Args:
        samples: Shape (n, dim).
        law: What they should be.
        projections: Number of directions.

    Returns:
        The distance, in the units of the points. It counts all modes, as `bures` does not; n samples of the law itself
        do not have 0 but the floor that they leave.
    """
    projected = samples.double() @ directions(law.dim, projections).T
    gaps = projected.sort(dim=0).values - _quantiles(law, projections, len(samples))
    return float(gaps.square().mean().sqrt())


def mode_weight_error(samples: torch.Tensor, law: Mixture) -> float:
    """Total variation between the shares of samples whose nearest centre is a mode's and the modes' true weights.

    The modes of the laws here are so far apart that their own points are nearest to their own centres.

    Args:
        samples: Shape (n, dim).
        law: A mixture.

    Returns:
        Half the sum of the absolute differences: 0 to 1.
    """
    nearest = torch.cdist(samples.double(), law.centres).argmin(dim=1)
    shares = torch.bincount(nearest, minlength=len(law.weights)).double() / len(samples)
    return float((shares - law.shares).abs().sum() / 2)


def names(law: Target) -> list[str]:
    """What `scores` gives for samples of a law."""
    always = ["bures", "sliced_wasserstein", "mean_error", "covariance_error", "variance_ratio"]
    return [*always, "mode_weight_error"] if isinstance(law, Mixture) else always


def scores(samples: torch.Tensor, law: Target, projections: int) -> dict[str, float]:
    """All distances of samples from a law.

    Args:
        samples: Shape (n, dim), n at least 2.
        law: What they should be.
        projections: Directions of the sliced distance.

    Returns:
        Values by name, in the order of `names`. A Gaussian has no modes to weigh.

    Raises:
        UndefinedError: If samples are not finite.
    """
    bad = int((~torch.isfinite(samples)).any(dim=1).sum())
    if bad:
        raise UndefinedError(f"{bad} of {len(samples)} samples are not finite: the model has diverged")
    moments = fit(samples.numpy())
    values = {
        "bures": bures(moments, law),
        "sliced_wasserstein": sliced_wasserstein(samples, law, projections),
        "mean_error": mean_error(moments, law),
        "covariance_error": covariance_error(moments, law),
        "variance_ratio": variance_ratio(moments, law),
    }
    if isinstance(law, Mixture):
        values["mode_weight_error"] = mode_weight_error(samples, law)
    return values
