"""Optimal transport of fresh noise to real images, no self-training: what every Reflow method must beat.

minibatch: Tong et al. 2023 (arXiv 2302.00482), Pooladian et al. 2023 (arXiv 2304.14772).
semidiscrete: Mousavi-Hosseini et al. 2025 (arXiv 2509.25519).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from reflowbench.core.randomness import noise
from reflowbench.couplings.shared.base import Coupling, Inputs, Networks, Pairs
from reflowbench.couplings.shared.method import Method
from reflowbench.pairs.assignment import assign, assigned_noise
from reflowbench.pairs.potential import Potential, fit_potential
from reflowbench.runtime.artifacts import read_tensors, write_tensors
from reflowbench.runtime.params import Group, PositiveInt, PotentialParams

POTENTIAL_FILE = "potential.safetensors"


class OtParams(Group):
    """How fresh noise is assigned to images."""

    assignment: Literal["minibatch", "dataset", "semidiscrete"] = Field(
        description="of noise to images: in each batch, once a round, or by a potential at every step"
    )
    noises: PositiveInt = Field(description="noises per image (dataset)")
    chunk: Annotated[int, Field(ge=0)] = Field(description="images assigned together; 0: all (dataset)")
    potential: PotentialParams = Field(description="of semidiscrete: how the potential is fitted")


class Ot(Coupling):
    """Real images and fresh noise, coupled by optimal transport.

    `minibatch` solves each batch's assignment. `dataset` assigns `noises` fresh noises to every image
    once per round. `semidiscrete` fits one potential per image in the first round, carries it to the
    later ones, and pairs every step's fresh noise by it: no noise is used twice.
    """

    def __init__(self, params: OtParams, inputs: Inputs) -> None:
        super().__init__()
        self._inputs, self._assignment = inputs, params.assignment
        images = inputs.images.images[:]  # of all at once, as float32: transport looks at the whole data set
        if params.assignment == "dataset":
            self._noise = assigned_noise(images, inputs.seed, "ot noise", inputs.round, params.noises, params.chunk)
        elif params.assignment == "semidiscrete":
            self._potential = self._carried() or fit_potential(images, params.potential, inputs.seed, inputs.round)

    def _carried(self) -> Potential | None:
        path = self._inputs.carried / POTENTIAL_FILE if self._inputs.carried else None
        if path is None or not path.exists():
            return None
        return Potential(self._inputs.images.images[:], read_tensors(path)[0]["dual"])

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        r = self._inputs
        images = r.images.images
        if self._assignment == "dataset":
            rows = r.draw("ot rows", step, len(self._noise), r.batch)
            return self._noise[rows], images[rows % len(images)]
        x0 = noise(r.seed, "ot noise", r.round, range(step * r.batch, (step + 1) * r.batch), r.images.dim)
        if self._assignment == "semidiscrete":
            return x0, images[self._potential.match(x0)]
        x1 = images[r.draw_real(step, r.batch)]
        return x0[assign(x0, x1)], x1

    def carry(self, folder: Path) -> None:
        """See `Coupling.carry`: the potential, for all later rounds."""
        if self._assignment == "semidiscrete":
            folder.mkdir()
            write_tensors(folder / POTENTIAL_FILE, {"dual": self._potential.dual})


METHOD = Method(OtParams, Ot)
