"""Frechet distance between Gaussians fitted to two sets of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def frechet_distance(first: Array, second: Array) -> float:
    """Frechet distance |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al. 2017, eq. 6).

    tr (C1 C2)^(1/2) is the sum of the square roots of the eigenvalues of the symmetric
    C1^(1/2) C2 C1^(1/2): real by construction, where a general matrix square root is not.
    Only with Inception features may the result be called FID.

    Args:
        first: Features, shape (n, d).
        second: Features, shape (m, d).

    Returns:
        The distance, at least 0.
    """
    difference = first.mean(axis=0) - second.mean(axis=0)
    cov1, cov2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(cov1)
    root1 = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root1 @ cov2 @ root1), 0, None)).sum()
    return max(0.0, float(difference @ difference + np.trace(cov1) + np.trace(cov2) - 2 * shared))
