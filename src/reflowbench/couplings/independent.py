"""Base training: noise and images drawn independently (Liu et al. 2022, arXiv 2209.03003)."""

from __future__ import annotations

from reflowbench.core.randomness import noise
from reflowbench.couplings.base import Coupling, Networks, Pairs, Round


class Independent(Coupling):
    """x0 fresh noise, x1 a random real image."""

    def __init__(self, round_: Round) -> None:
        self._round = round_

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        r = self._round
        index = range(step * r.batch, (step + 1) * r.batch)
        x0 = noise(r.seed, "independent noise", r.round, index, r.images.dim)
        return x0, r.images.images[r.draw_real(step, r.batch)]
