"""OCAR: pairs made online by the network being trained (Zhu et al. 2024, arXiv 2412.08175)."""

from __future__ import annotations

import torch

from reflowbench.core.config import OcarParams
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.flow.path import Velocity
from reflowbench.core.flow.solvers import nfe_per_step, solve
from reflowbench.core.randomness import noise
from reflowbench.couplings.base import Coupling, Networks, Pairs, Round, join


class Ocar(Coupling):
    """Synthetic and inverted real pairs from the current network, nothing stored.

    With replay r a batch is r groups of which one is made anew each step, so that every pair is
    used r times and costs 1/r of its network evaluations per update; r = 1 is the published method.
    """

    def __init__(self, params: OcarParams, round_: Round) -> None:
        if round_.batch % params.replay:
            raise ReflowbenchError(
                f"methods.ocar.replay = {params.replay}: must divide round.batch = {round_.batch}, "
                "since that share of the batch is made anew each step"
            )
        self._params = params
        self._round = round_
        self._groups: list[Pairs] = []

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        velocity = networks.velocity(self._params.source)
        replay = self._params.replay
        if not self._groups:
            self._groups = [self._fresh(velocity, step, group) for group in range(replay)]
        else:
            self._groups[step % replay] = self._fresh(velocity, step, step % replay)
        return join(*self._groups)

    def _fresh(self, velocity: Velocity, step: int, group: int) -> Pairs:
        """One group of the batch; over all groups the real pairs add up to int(lambda * batch)."""
        r, p = self._round, self._params
        size = r.batch // p.replay
        real_in_batch = int(p.real_fraction * r.batch)
        real = real_in_batch * (group + 1) // p.replay - real_in_batch * group // p.replay
        first = step * r.batch + group * size
        z = noise(r.seed, "online noise", r.round, range(first, first + size - real), r.images.dim)
        images = r.images.images[r.draw(f"online real rows {group}", step, len(r.images), real)]
        self.evaluations += size * p.steps * nfe_per_step(p.solver)
        inverted = torch.arange(size) >= len(z)
        ends = solve(velocity, torch.cat([z, images]), p.solver, p.steps, backward=inverted)
        return torch.cat([z, ends[inverted]]), torch.cat([ends[~inverted].clamp(-1, 1), images])
