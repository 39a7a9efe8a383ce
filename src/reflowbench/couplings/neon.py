"""Neon: negative extrapolation from self-training (Alemohammad et al. 2025, arXiv 2510.03597). No real data."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from reflowbench.couplings.shared.base import Coupling, Inputs, Networks, Pairs
from reflowbench.couplings.shared.method import Method
from reflowbench.runtime.params import Group


class NeonParams(Group):
    """How far to go back."""

    weight: Annotated[float, Field(ge=0)] = Field(description="w: theta = (1 + w) before - w after")


class Neon(Coupling):
    """Trains on the synthetic pairs of the last round as Reflow does, then steps the other way."""

    def __init__(self, params: NeonParams, inputs: Inputs) -> None:
        super().__init__()
        self._params, self._inputs = params, inputs

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        return self._inputs.draw_synthetic(step, self._inputs.batch)

    @torch.no_grad()
    def finish(self, networks: Networks) -> None:
        """See `Coupling.finish`."""
        w = self._params.weight
        for after, before in zip(networks.ema.parameters(), networks.start.parameters(), strict=True):
            after.copy_((1 + w) * before - w * after)


METHOD = Method(NeonParams, Neon, stored=frozenset({"synthetic"}))
