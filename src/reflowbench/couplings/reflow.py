"""Reflow: synthetic pairs of the last round only (Liu et al. 2022, arXiv 2209.03003)."""

from __future__ import annotations

from reflowbench.core.config import ReflowParams
from reflowbench.couplings.base import Coupling, Networks, Pairs, Round


class Reflow(Coupling):
    """x0 noise, x1 what the flow of the round's starting weights made of it; built once per round."""

    def __init__(self, params: ReflowParams, round_: Round) -> None:
        self._round = round_

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        return self._round.draw_synthetic(step, self._round.batch)
