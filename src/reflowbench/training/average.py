"""Laws of the moving average of the weights."""

from __future__ import annotations

import numpy as np

from reflowbench.runtime.params import OptimParams


def decay(params: OptimParams, update: int) -> float:
    """Share of the average that an update leaves; the rest comes from the new weights.

    Constant: `ema`. With `ema_warmup` at most (1 + n) / (10 + n) after n updates, so that a short run is not an average
    of its start. With `ema_std` an average by a power of the step (Karras et al. 2024, arXiv 2312.02696, section 3.1):
    weights of step n of N count as n^gamma, and the same share of the run counts whatever its length.

    Args:
        params: Which law.
        update: Updates before this one.

    Returns:
        A number from 0 to 1.
    """
    if params.ema_std is not None:
        return float((update / (update + 1)) ** (power(params.ema_std) + 1))
    if params.ema_warmup:
        return min(params.ema, (1 + update) / (10 + update))
    return params.ema


def power(std: float) -> float:
    """Exponent gamma of the power-law average whose steps have a relative standard deviation.

    The law of tau = n / N with density (gamma + 1) tau^gamma on [0, 1] has the variance
    (gamma + 1) / ((gamma + 2)^2 (gamma + 3)), a cubic equation for gamma.

    Args:
        std: Above 0, below 12^(-1/2), the standard deviation of a uniform law.

    Returns:
        gamma, above 0.
    """
    inverse = 1 / std**2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())
