"""A linear denoising autoencoder trained on its own outputs: what infinitely and finitely many samples give.

In each round the data are rows x with covariance S; e ~ N(0, q I) is noise, and the autoencoder is the matrix W that
minimises E |x - W (x + e)|^2. The next round's data are W (x + e') with fresh noise, of which a share r is replaced
by fresh real rows. Along an eigenvector of S with eigenvalue s, W is the gain g = s / (s + q), and what it makes of
the data has variance g^2 (s + q) = s g: every eigenvector is on its own (docs/theory.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
History = Literal["replace", "accumulate"]


def gain(variance: Array, noise: float) -> Array:
    """Best gain s / (s + q) for data of variance s, any shape."""
    return variance / (variance + noise)


def population_gains(
    spectrum: Sequence[float], noise: float, real: float, rounds: int, history: History = "replace"
) -> Array:
    """Gains with infinitely many samples.

    `replace`: s' = r s_0 + (1 - r) s g. `accumulate`: the synthetic share is drawn from what all rounds so far made,
    the real data of round 0 among it, in equal parts: with p_0 = s_0 and p_j = (j p_{j-1} + s g) / (j + 1),
    s' = r s_0 + (1 - r) p_j.

    Args:
        spectrum: Eigenvalues s_0 of the real data's covariance, k of them.
        noise: q.
        real: r, share of real data from round 1 on.
        rounds: How many rounds are trained on the model's own outputs.
        history: Where synthetic data come from.

    Returns:
        Gains of rounds 0 (real data only) to `rounds`, shape (rounds + 1, k).
    """
    start = np.asarray(spectrum, dtype=np.float64)
    variance = pool = start
    gains = [gain(start, noise)]
    for j in range(1, rounds + 1):
        made = variance * gains[-1]
        pool = made if history == "replace" else (j * pool + made) / (j + 1)
        variance = real * start + (1 - real) * pool
        gains.append(gain(variance, noise))
    return np.stack(gains)


def gain_bound(spectrum: Sequence[float], noise: float, real: float) -> Array:
    """Lower bound r s_0 / (r s_0 + q) on every round's gain: a share r of real data has at least that variance."""
    return gain(real * np.asarray(spectrum, dtype=np.float64), noise)
