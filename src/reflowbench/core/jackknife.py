"""Standard errors over samples, by leaving groups of them out.

The bootstrap is not used: drawing with replacement makes duplicates, which metrics of nearest
neighbours and of duplicates take for collapse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


def groups_of(n: int, groups: int) -> list[Rows]:
    """Cut samples into contiguous groups.

    Args:
        n: Number of samples.
        groups: Number of groups.

    Returns:
        The row numbers of each group (for n < groups, of each sample).
    """
    return np.array_split(np.arange(n), min(groups, n))


def jackknife_error(left_out: Sequence[float] | Array) -> float:
    """Standard error of a statistic from its values with each of G groups left out (Quenouille 1956, Tukey 1958).

    Args:
        left_out: Shape (G,).

    Returns:
        sqrt((G - 1) / G sum (v_g - mean v)^2).
    """
    values = np.asarray(left_out, dtype=np.float64)
    return float(np.sqrt((len(values) - 1) * np.square(values - values.mean()).mean()))
