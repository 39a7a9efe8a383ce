"""Names of what parameters choose between, apart from the arithmetic: they are checked without importing torch."""

from __future__ import annotations

from typing import Literal

FixedSolver = Literal["euler", "heun", "rk4"]
NFE_PER_STEP: dict[FixedSolver, int] = {"euler": 1, "heun": 2, "rk4": 4}
"""Network evaluations per sample in one step of a fixed-step solver (also its order)."""

Loss = Literal["mse", "pseudo_huber"]
Precision = Literal["float32", "bf16", "fp16"]
"""Of a network's matrix products and convolutions; weights, states and losses are float32."""
TimeLaw = Literal["uniform", "u_shaped", "logit_normal"]
Source = Literal["round_start", "raw", "ema"]
"""Which weights make pairs within a round."""

ADAPTIVE = "dopri5"
"""The adaptive solver."""
