"""Names and costs of the solvers, apart from their arithmetic: parameters are checked without importing torch."""

from __future__ import annotations

from typing import Literal

FixedSolver = Literal["euler", "heun", "rk4"]
NFE_PER_STEP: dict[FixedSolver, int] = {"euler": 1, "heun": 2, "rk4": 4}
"""Network evaluations per sample in one step of a fixed-step solver (also its order)."""

ADAPTIVE = "dopri5"
"""The adaptive solver."""
