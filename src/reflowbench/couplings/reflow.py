"""Reflow: synthetic pairs of the last round only (Liu et al. 2022, arXiv 2209.03003)."""

from __future__ import annotations

from reflowbench.couplings.shared.base import Coupling, Inputs, Networks, Pairs
from reflowbench.couplings.shared.method import Method
from reflowbench.runtime.params import Group


class ReflowParams(Group):
    """`reflow` has no parameter of its own."""


class Reflow(Coupling):
    """x0 noise, x1 what the flow of the round's starting weights made of it; built once per round."""

    def __init__(self, params: ReflowParams, inputs: Inputs) -> None:
        super().__init__()
        self._inputs = inputs

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        return self._inputs.draw_synthetic(step, self._inputs.batch)


METHOD = Method(ReflowParams, Reflow, stored=frozenset({"synthetic"}))
