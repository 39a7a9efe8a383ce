"""One measured number with its conditions, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from reflowbench.errors import ReflowbenchError


class UndefinedError(ReflowbenchError):
    """A metric has no value here; the message is the reason, without the metric's name."""


@dataclass(frozen=True)
class Measurement:
    """One number with its conditions.

    Attributes:
        metric: What was measured.
        value: The number; None where it could not be computed.
        solver: Solver of the samples ("" where none is involved).
        nfe: Network evaluations per sample (0 where none is involved).
        features: Feature space ("" for metrics that need none).
        n_samples: Samples it was measured on.
        error: Standard error over samples, the model and the reference being given; None where there is none.
        missing: Why there is no value ("" where there is one).
    """

    metric: str
    value: float | None
    solver: str = ""
    nfe: int = 0
    features: str = ""
    n_samples: int = 0
    error: float | None = None
    missing: str = ""
