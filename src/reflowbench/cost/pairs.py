"""Network evaluations that a round of a method spends on pairs, from its parameters alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from reflowbench.core.schemes import NFE_PER_STEP
from reflowbench.cost.network import BYTES
from reflowbench.couplings.accumulate import Accumulate
from reflowbench.couplings.conic import Conic
from reflowbench.couplings.ot import Ot
from reflowbench.couplings.shared.base import Coupling, Spent
from reflowbench.couplings.shared.method import Method
from reflowbench.couplings.shared.online import Online
from reflowbench.methods import entries, registry
from reflowbench.runtime.config import parse
from reflowbench.runtime.params import Group, PairsParams, Params, RoundParams

STORED = {"float32": 4, "float16": 2}
"""Bytes of a value of a stored pair."""


@dataclass(frozen=True)
class Variant:
    """An entry of the grid, or a chain of the ablations, with the parameters of its rounds.

    Attributes:
        name: Its name in the grid.
        group: Its group of stages: the name of its coupling.
        method: What its file defines.
        params: Its block.
        round: Training of a round.
        pairs: Stored pairs.
        base: Coupling of the base model that it starts from.
    """

    name: str
    group: str
    method: Method
    params: Any
    round: RoundParams
    pairs: PairsParams
    base: str

    @property
    def coupling(self) -> type[Coupling]:
        """Class of its coupling."""
        return cast("type[Coupling]", self.method.coupling)

    @property
    def pairs_nfe(self) -> int:
        """Network evaluations of a stored pair."""
        return self.pairs.steps * NFE_PER_STEP[self.pairs.solver]

    def unused(self) -> set[str]:
        """Kinds of stored pairs that it never draws with its share of real ones, so that they are no cost of it."""
        if issubclass(self.coupling, Conic) or not hasattr(self.params, "real_fraction"):
            return set()
        n_real = int(self.params.real_fraction * self.round.batch)
        drawn = {"synthetic": self.round.batch - n_real, "inverted": n_real}
        return {kind for kind in self.method.stored if not drawn[kind]}

    def stored(self, n_images: int) -> Spent:
        """Evaluations of the stored pairs that it draws from, as its training counts them."""
        counted = self.method.stored - self.unused()
        return Spent(
            self.pairs.n * self.pairs_nfe * ("synthetic" in counted),
            n_images * self.pairs_nfe * ("inverted" in counted),
        )

    def within(self, n_images: int) -> Spent:
        """Evaluations within a round: pairs that are rebuilt every so many steps, or made online."""
        if issubclass(self.coupling, Online):
            return _online(self.params, self.round)
        if self.method.regenerates and "inverted" not in self.unused() and self.params.regenerate_every:
            rebuilt = (self.round.steps - 1) // self.params.regenerate_every
            return Spent(inversion=rebuilt * n_images * self.pairs_nfe)
        return Spent()

    def carried_bytes(self, round_: int, n_images: int, dim: int) -> int:
        """What a round leaves for the next one inside its model folder."""
        if issubclass(self.coupling, Accumulate):
            return int(STORED[self.pairs.storage] * round_ * self.pairs.n * dim)
        if issubclass(self.coupling, Ot) and self.params.assignment == "semidiscrete":
            return BYTES * n_images
        return 0


def variants(params: Params) -> list[Variant]:
    """The methods of the grid, or the chains of the ablations.

    Args:
        params: The whole of the parameters, checked.

    Returns:
        One each, in the order of the grid.
    """
    found = []
    for name in params.grid.methods:
        chain = params.chains.get(name)
        coupling, values = entries.split(params.methods, chain.method if chain else name, "params.yaml")
        method = registry.load(coupling)
        own: Group = parse(method.params, values | (chain.params if chain else {}), f"{name}.")
        round_ = parse(RoundParams, params.round.model_dump() | (chain.round if chain else {}), f"{name}.round.")
        pairs = parse(PairsParams, params.pairs.model_dump() | (chain.pairs if chain else {}), f"{name}.pairs.")
        found.append(Variant(name, coupling, method, own, round_, pairs, chain.base if chain else params.base.coupling))
    return found


def _online(params: Any, round_: RoundParams) -> Spent:
    """Of `replay` groups of the batch the first step makes all, each later one the next in turn."""
    replay, nfe = params.replay, params.steps * NFE_PER_STEP[params.solver]
    real_in_batch = int(params.real_fraction * round_.batch)
    spent = Spent()
    for group in range(replay):
        real = real_in_batch * (group + 1) // replay - real_in_batch * group // replay
        times = 1 + sum(step % replay == group for step in range(1, round_.steps))
        spent.inversion += times * real * nfe
        spent.forward += times * (round_.batch // replay - real) * nfe
    return spent
