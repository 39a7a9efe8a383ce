"""RCA with a corrected noise law: fresh N(0, I) noise, optimally assigned to the inverted noise."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field

from reflowbench.core.randomness import noise
from reflowbench.couplings.shared.base import Inputs, Pairs
from reflowbench.couplings.shared.inverted import InvertedPairs, MixParams
from reflowbench.couplings.shared.method import Method
from reflowbench.couplings.shared.mixed import Mixed
from reflowbench.pairs.assignment import assigned_noise
from reflowbench.pairs.potential import Potential, fit_potential
from reflowbench.runtime.params import PositiveInt, PotentialParams


class RcaOtParams(MixParams):
    """RCA's parameters, and how fresh noise is assigned to the inverted one."""

    assignment: Literal["dataset", "semidiscrete"] = Field(
        description="of fresh noise to the inverted one: when pairs are rebuilt, or by a potential at every step"
    )
    noises: PositiveInt = Field(description="fresh noises per image (dataset)")
    chunk: Annotated[int, Field(ge=0)] = Field(description="images assigned together; 0: all (dataset)")
    potential: PotentialParams = Field(description="of semidiscrete: how the potential is fitted")


class RcaOt(Mixed):
    """Real images paired with fresh noise that lies near the noise the reverse flow gives them.

    Inverted noise of real images is not N(0, I), so RCA trains on noise that sampling never draws.
    Here the law is exact by construction, and the optimal assignment keeps the pairs nearly as
    straight. `dataset` assigns `noises` fresh noises to each image whenever the pairs are rebuilt;
    `semidiscrete` fits a transport potential instead and pairs every step's fresh noise by it.
    """

    def __init__(self, params: RcaOtParams, inputs: Inputs) -> None:
        self._params = params
        self._potential: Potential | None = None
        super().__init__(params, inputs, self._correct)

    def _correct(self, inverted: torch.Tensor, rebuilt: int) -> torch.Tensor:
        p, r = self._params, self._inputs
        if p.assignment == "semidiscrete":
            self._potential = fit_potential(inverted, p.potential, r.seed, r.round)
            return inverted
        return assigned_noise(inverted, r.seed, f"rca_ot noise {rebuilt}", r.round, p.noises, p.chunk)

    def _draw_real(self, step: int, inverted: InvertedPairs) -> Pairs:
        if self._potential is None:
            return super()._draw_real(step, inverted)
        r = self._inputs
        first = step * r.batch
        fresh = noise(r.seed, "rca_ot noise", r.round, range(first, first + self._n_real), r.images.dim)
        return fresh, r.images.images[self._potential.match(fresh)]


METHOD = Method(
    RcaOtParams,
    RcaOt,
    stored=frozenset({"synthetic", "inverted"}),
    regenerates=True,
)
