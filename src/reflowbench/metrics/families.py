"""Groups of metrics that are computed together, with standard errors, and with a reason where there is no value."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.core.jackknife import Rows, groups_of, jackknife_error
from reflowbench.metrics.measurement import Measurement, UndefinedError

Array = NDArray[np.float64]
_FAILURES = (UndefinedError, np.linalg.LinAlgError, torch.linalg.LinAlgError)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Family:
    """Metrics that are computed together, so also fail together.

    Attributes:
        names: The metrics.
        over: Their values on the samples in given rows, in the order of the names; may raise UndefinedError.
        n: Samples that they use.
        features: Their feature space ("" for none).
        left_out: Their values without each of so many groups of samples, shape (metrics, groups), where
            there is a faster way than `over`; None where there is not.
        errors: Whether their standard errors are asked for.
    """

    names: Sequence[str]
    over: Callable[[Rows], Sequence[float]]
    n: int
    features: str = ""
    left_out: Callable[[int], Array] | None = None
    errors: bool = True


def measure(family: Family, groups: int) -> tuple[list[Measurement], Mapping[str, Array]]:
    """Compute a family.

    Args:
        family: The metrics.
        groups: Groups of samples that are left out in turn; 0 for no standard errors.

    Returns:
        A measurement per metric, without a value but with the reason where there is none; and each
        metric's values without each group, shape (groups,), as far as they are all defined.
    """
    try:
        values = family.over(np.arange(family.n))
    except _FAILURES as reason:
        return missing(family, str(reason)), {}
    left_out = _left_out(family, groups) if family.errors and groups else {}
    found = []
    for name, value in zip(family.names, values, strict=True):
        if np.isfinite(value):
            error = jackknife_error(left_out[name]) if name in left_out else None
            found.append(Measurement(name, float(value), "", 0, family.features, family.n, error))
        else:
            found += missing(family, f"it came out as {value}", name)
    return found, left_out


def _left_out(family: Family, groups: int) -> Mapping[str, Array]:
    try:
        if family.left_out is not None:
            values = family.left_out(groups)
        else:
            rows = np.arange(family.n)
            kept = (np.delete(rows, group) for group in groups_of(family.n, groups))
            values = np.transpose([family.over(rest) for rest in kept])
    except _FAILURES:  # defined for all samples, but for no fewer
        return {}
    return {name: v for name, v in zip(family.names, values, strict=True) if np.isfinite(v).all()}


def missing(family: Family, reason: str, *names: str) -> list[Measurement]:
    """Measurements without a value, of all of a family or of those named; says so on stderr."""
    names = names or tuple(family.names)
    where = f" ({family.features} features)" if family.features else ""
    _say(f"not computed: {', '.join(names)}{where}: {reason}")
    return [Measurement(name, None, "", 0, family.features, family.n, missing=reason) for name in names]


@cache  # once in a process: the same holds for the samples of every solver
def _say(message: str) -> None:
    print(message, file=sys.stderr)
