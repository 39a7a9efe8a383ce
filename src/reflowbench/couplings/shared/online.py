"""Pairs made online by the network being trained, nothing stored."""

from __future__ import annotations

import torch
from pydantic import Field

from reflowbench.core.randomness import noise
from reflowbench.core.schemes import NFE_PER_STEP, FixedSolver, Source
from reflowbench.couplings.shared.base import Coupling, Inputs, Networks, Pairs, join
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.path import Velocity
from reflowbench.flow.solvers import solve
from reflowbench.pairs.assignment import assign
from reflowbench.runtime.distributed import world
from reflowbench.runtime.params import Fraction, Group, PositiveInt


class OnlineParams(Group):
    """Pairs made online."""

    real_fraction: Fraction = Field(description="lambda: share of inverted real pairs in a batch")
    source: Source = Field(
        description="weights that make pairs: those of the round's start, the raw ones in training, or their average"
    )
    solver: FixedSolver = Field(description="of the pairs, in both directions")
    steps: PositiveInt = Field(description="of the solver")
    replay: PositiveInt = Field(description="how often a pair is trained on; must divide the batch")
    reassign: bool = Field(
        description="noise of the real pairs: replaced by fresh noise that is optimally assigned to it"
    )


def replay_fault(params: OnlineParams, batch: int) -> str:
    """What is wrong with the replay for batches of this size, after the name of the group; empty if nothing is."""
    if batch % params.replay == 0:
        return ""
    return (
        f"replay = {params.replay}: must divide round.batch = {batch}, since that share of the batch is made anew "
        "each step"
    )


class Online(Coupling):
    """Synthetic and inverted real pairs from the current network.

    With replay r a batch is r groups of which one is made anew each step, so that every pair is
    used r times and costs 1/r of its network evaluations per update; r = 1 is the published method.
    With `reassign` the inverted noise of a group is replaced by fresh noise, optimally assigned to it.
    """

    name = "ocar"

    def __init__(self, params: OnlineParams, inputs: Inputs) -> None:
        """Prepare a round.

        Args:
            params: The method's block.
            inputs: What the round hands over.

        Raises:
            ReflowbenchError: If the replay does not divide the batch.
        """
        super().__init__()
        if fault := replay_fault(params, inputs.batch):
            raise ReflowbenchError(f"methods.{self.name}.{fault}")
        self._replay, self._online, self._inputs = params.replay, params, inputs
        self._groups: list[Pairs] = []

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        velocity = networks.velocity(self._online.source)
        if not self._groups:
            self._groups = [self._fresh(velocity, step, group) for group in range(self._replay)]
        else:
            group = step % self._replay
            self._groups[group] = self._fresh(velocity, step, group)
        return join(*self._groups)

    def _fresh(self, velocity: Velocity, step: int, group: int) -> Pairs:
        """One group of the batch; over all groups the real pairs add up to int(lambda * batch)."""
        r, p = self._inputs, self._online
        size = r.batch // p.replay
        real_in_batch = int(p.real_fraction * r.batch)
        real = real_in_batch * (group + 1) // p.replay - real_in_batch * group // p.replay
        first = step * r.batch + group * size
        z = noise(r.seed, "online noise", r.round, range(first, first + size - real), r.images.dim)
        images = r.images.images[r.draw(f"online real rows {group}", step, len(r.images), real)]
        nfe = p.steps * NFE_PER_STEP[p.solver]
        self.spent.forward += len(z) * nfe
        self.spent.inversion += len(images) * nfe
        made, inverted = self._shared(velocity, z, images, first)
        if not torch.isfinite(inverted).all():
            raise ReflowbenchError(
                f"inversion gave non-finite noise in round {r.round} at step {step}: the network has diverged; lower "
                "round.lr, or make the pairs by a slower network (source ema or round_start)"
            )
        if p.reassign and real:
            fresh = noise(r.seed, "online reassigned", r.round, range(first, first + real), r.images.dim)
            inverted = fresh[assign(fresh, inverted)]
        return torch.cat([z, inverted]), torch.cat([made.clamp(-1, 1) if r.clip else made, images])

    def _shared(self, velocity: Velocity, z: torch.Tensor, images: torch.Tensor, first: int) -> Pairs:
        """What `_solve` gives, of which each process makes its share."""
        here = world()
        own, real = here.share(len(z)), here.share(len(images))
        made, inverted = self._solve(velocity, z[own], images[real], first + real.start)
        return here.joined(made, len(z)), here.joined(inverted, len(images))

    def _solve(self, velocity: Velocity, z: torch.Tensor, images: torch.Tensor, first: int) -> Pairs:
        """Images of noise, and noise of images. `first` numbers the group's first pair, for methods that draw."""
        p = self._online
        backward = torch.arange(len(z) + len(images)) >= len(z)
        ends = solve(velocity, torch.cat([z, images]), p.solver, p.steps, backward=backward)
        return ends[: len(z)], ends[len(z) :]

    def state(self) -> dict[str, torch.Tensor]:
        """The groups of the batch, and the cost so far."""
        if not self._groups:
            return {}
        x0, x1 = join(*self._groups)
        return {"x0": x0, "x1": x1, "cost": torch.tensor([self.spent.forward, self.spent.inversion])}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what `state` returned."""
        self._groups, self.spent.forward, self.spent.inversion = [], 0, 0
        if state:
            self._groups = list(zip(state["x0"].chunk(self._replay), state["x1"].chunk(self._replay), strict=True))
            self.spent.forward, self.spent.inversion = state["cost"].tolist()
