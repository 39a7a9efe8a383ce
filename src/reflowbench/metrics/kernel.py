"""Kernel distance (cubic polynomial kernel, as in KID) by clean-fid."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@contextlib.contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which clean-fid draws its subsets from, and restore it."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def kernel_distance(generated: Array, real: Array, subsets: int, subset_size: int) -> float:
    """Squared maximum mean discrepancy of the kernel (x.y / d + 1)^3 (Binkowski et al. 2018).

    Args:
        generated: Features, shape (n, d).
        real: Features, shape (m, d).
        subsets: Number of random subsets to average over.
        subset_size: Size of each; capped by n and m.

    Returns:
        The distance; unbiased, so it may be slightly negative.
    """
    from cleanfid.fid import kernel_distance as cleanfid_kernel_distance

    with _numpy_seed(0):
        return float(cleanfid_kernel_distance(generated, real, num_subsets=subsets, max_subset_size=subset_size))
