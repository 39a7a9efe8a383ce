"""OCAR-S: OCAR whose real images are inverted by a reverse SDE (Zhu et al. 2024, arXiv 2412.08175)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from reflowbench.core.randomness import noise
from reflowbench.core.schemes import NFE_PER_STEP, FixedSolver
from reflowbench.couplings.shared.base import Inputs, Pairs
from reflowbench.couplings.shared.method import Method
from reflowbench.couplings.shared.online import Online, OnlineParams, replay_fault
from reflowbench.flow.path import Velocity
from reflowbench.flow.sde import SdeKind, reverse_sde
from reflowbench.flow.solvers import solve
from reflowbench.runtime.params import PositiveInt


class OcarSParams(OnlineParams):
    """OCAR's parameters, and the SDE's; `solver` makes the synthetic pairs, the SDE is solved by Euler-Maruyama."""

    solver: FixedSolver = Field(description="of the synthetic pairs; the SDE has as many network evaluations")
    steps: PositiveInt = Field(description="of that solver")
    sde: SdeKind = Field(description="published: OCAR-S; marginal: with the marginals of the flow")
    noise_scale: Annotated[float, Field(ge=0)] = Field(description="s; published: 0.001")
    jitter: Annotated[float, Field(ge=0, lt=1)] = Field(description="relative spread of a step; published: 0.1")


class OcarS(Online):
    """OCAR with noise in the inversion. The SDE takes as many network evaluations as the ODE solver."""

    name = "ocar_s"

    def __init__(self, params: OcarSParams, inputs: Inputs) -> None:
        super().__init__(params, inputs)
        self._params = params

    def _solve(self, velocity: Velocity, z: torch.Tensor, images: torch.Tensor, first: int) -> Pairs:
        p, r = self._params, self._inputs

        def normals(purpose: str, step: int) -> torch.Tensor:
            rows = range(first, first + len(images))
            return noise(r.seed, f"sde {purpose} {step}", r.round, rows, r.images.dim if purpose == "noise" else 1)

        steps = p.steps * NFE_PER_STEP[p.solver]  # one evaluation each
        made = solve(velocity, z, p.solver, p.steps)
        return made, reverse_sde(velocity, images, steps, normals, p.noise_scale, p.jitter, p.sde)


METHOD = Method(OcarSParams, OcarS, batch_fault=replay_fault)
