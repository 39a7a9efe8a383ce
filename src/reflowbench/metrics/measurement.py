"""One measured number with its conditions."""

from __future__ import annotations

from dataclasses import dataclass

FEATURES = "classifier"


@dataclass(frozen=True)
class Measurement:
    """One number with its conditions.

    Attributes:
        metric: What was measured.
        value: The number.
        solver: Solver of the samples ("" where none is involved).
        nfe: Network evaluations per sample (0 where none is involved).
        features: Feature space ("" for metrics on pixels).
        n_samples: Samples it was measured on.
    """

    metric: str
    value: float
    solver: str = ""
    nfe: int = 0
    features: str = ""
    n_samples: int = 0
