"""What a classifier of the real classes says of samples: which classes they cover, and how surely."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reflowbench.metrics.measurement import UndefinedError

Array = NDArray[np.float64]
METRICS = ("class_score", "class_entropy", "missing_classes")
PRESENT = 0.1
"""A class is missing if its share is less than this part of its share of the real images."""


def entropy(shares: Array) -> float:
    """Entropy in nats of shares that sum to 1."""
    positive = shares[shares > 0]
    return float(0 - (positive * np.log(positive)).sum())  # not the negative, which is -0.0 for a single class


def histogram(probabilities: Array) -> Array:
    """Share of samples by most probable class, shape (classes,), of probabilities of shape (n, classes)."""
    return np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1]) / len(probabilities)


def class_score(probabilities: Array) -> float:
    """exp(mean KL(p(y|x) || p(y))), as the Inception score (Salimans et al. 2016), of another classifier.

    Args:
        probabilities: Shape (n, classes).

    Returns:
        From 1 (no sample says more than all together) to the number of classes (sure of each, and all alike).
    """
    logarithms = np.log(probabilities, where=probabilities > 0, out=np.zeros_like(probabilities))
    conditional = -(probabilities * logarithms).sum(axis=1).mean()
    return float(np.exp(entropy(probabilities.mean(axis=0)) - conditional))


def class_metrics(probabilities: Array, real_shares: Array) -> tuple[float, float, float]:
    """Compare the classes of samples with those of real images.

    Args:
        probabilities: Of samples, shape (n, classes).
        real_shares: Shares of the classes among real images, shape (classes,).

    Returns:
        In the order of METRICS: the class score; the entropy of the histogram of most probable classes, in
        nats; the number of classes with less than a tenth of their real share.

    Raises:
        UndefinedError: If there is no sample.
    """
    if not len(probabilities):
        raise UndefinedError("there is no sample")
    shares = histogram(probabilities)
    missing = float((shares < PRESENT * real_shares).sum())
    return class_score(probabilities), entropy(shares), missing
