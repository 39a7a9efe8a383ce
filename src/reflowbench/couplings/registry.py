"""Methods by name: their parameters, their coupling, and what they read besides."""

from __future__ import annotations

from dataclasses import dataclass

from reflowbench.core.config import Group, OcarParams, RcaParams, ReflowParams
from reflowbench.couplings.base import CouplingFactory
from reflowbench.couplings.ocar import Ocar
from reflowbench.couplings.rca import Rca
from reflowbench.couplings.reflow import Reflow


@dataclass(frozen=True)
class Method:
    """One method of the grid.

    Attributes:
        params: Its parameter group.
        coupling: Makes its coupling from the parameters and the round.
        regenerates: Whether it rebuilds stored pairs within a round, hence reads the `pairs` group.
    """

    params: type[Group]
    coupling: CouplingFactory
    regenerates: bool = False


METHODS: dict[str, Method] = {
    "reflow": Method(ReflowParams, Reflow),
    "rca": Method(RcaParams, Rca, regenerates=True),
    "ocar": Method(OcarParams, Ocar),
}
