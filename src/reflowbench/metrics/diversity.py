"""How much samples differ among themselves: variance, rank, effective number, near duplicates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reflowbench.core.gaussians import Gaussian
from reflowbench.core.jackknife import Rows
from reflowbench.metrics.classes import entropy
from reflowbench.metrics.measurement import UndefinedError
from reflowbench.metrics.neighbours import Neighbourhood

Array = NDArray[np.float64]
DUPLICATE_QUANTILE = 0.01
"""Samples are near duplicates if they are closer than this share of real images is to their nearest other one."""


def variance_ratio(generated: Gaussian, real: Gaussian) -> float:
    """Total variance relative to that of real images.

    Returns:
        Sum of the variances of all coordinates over that of real images; 1 for equal ones.

    Raises:
        UndefinedError: If the real images do not vary.
    """
    total = np.trace(real.covariance)
    if total <= 0:
        raise UndefinedError("the real images are all the same")
    return float(np.trace(generated.covariance) / total)


def spectrum(fitted: Gaussian) -> Array:
    """Eigenvalues of the covariance, descending, shape (d,)."""
    return np.clip(np.linalg.eigvalsh(fitted.covariance)[::-1], 0, None)


def effective_rank(eigenvalues: Array) -> float:
    """Exp of the entropy of the normalised eigenvalues (Roy and Vetterli 2007): how many directions are in use.

    Args:
        eigenvalues: Of a covariance, shape (d,), non-negative.

    Returns:
        From 1 to d.

    Raises:
        UndefinedError: If all are zero: the samples are constant.
    """
    total = eigenvalues.sum()
    if total <= 0:
        raise UndefinedError("the samples are all the same: their covariance is zero")
    return float(np.exp(entropy(eigenvalues / total)))


def vendi_score(features: Array) -> float:
    """Exp of the entropy of the eigenvalues of K / n (Friedman and Dieng 2023, eq. 2), with K the cosine similarity.

    Computed from the (d, d) matrix that has the same non-zero eigenvalues.

    Args:
        features: Shape (n, d).

    Returns:
        The effective number of different samples, from 1 to min(n, d).

    Raises:
        UndefinedError: If there is no sample, or a feature vector is zero and so has no direction.
    """
    lengths = np.sqrt(np.square(features).sum(axis=1, keepdims=True))
    if not len(features) or not (lengths > 0).all():
        raise UndefinedError("a feature vector is zero" if len(features) else "there is no sample")
    unit = features / lengths
    eigenvalues = np.clip(np.linalg.eigvalsh(unit.T @ unit / len(unit)), 0, None)
    return float(np.exp(entropy(eigenvalues / eigenvalues.sum())))


def duplicate_threshold(real: Neighbourhood) -> float:
    """Distance below which images count as near duplicates.

    Args:
        real: Of the real images.

    Returns:
        A quantile of the distances to the nearest other image.
    """
    return float(np.quantile(real.radii(1), DUPLICATE_QUANTILE))


def near_duplicates(samples: Neighbourhood, threshold: float, without: Rows | None = None) -> float:
    """Share of samples that have a near duplicate among the others.

    Args:
        samples: Of n samples.
        threshold: From `duplicate_threshold`.
        without: Samples to leave out.

    Returns:
        The share; more samples lie closer, so compare equal numbers.

    Raises:
        UndefinedError: If there are fewer than two samples.
    """
    nearest = samples.radii(1, without)
    if without is not None:
        nearest = np.delete(nearest, without)
    return float((nearest < threshold).mean())
