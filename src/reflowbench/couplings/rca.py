"""RCA: Reflow with inverted real pairs in every batch (Zhu et al. 2024, arXiv 2412.08175)."""

from __future__ import annotations

from reflowbench.core.config import RcaParams
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.flow.path import Velocity
from reflowbench.couplings.base import Coupling, Networks, Pairs, Round, join
from reflowbench.pairs.generate import inverted_pairs
from reflowbench.pairs.store import StoredHalf, write_pairs


class Rca(Coupling):
    """A share lambda of each batch is real images with the noise that the reverse flow gives them.

    The synthetic pairs stay those of the round's start; the inverted ones are rebuilt every
    `regenerate_every` steps. lambda = 0 is Reflow, to the byte.
    """

    def __init__(self, params: RcaParams, round_: Round) -> None:
        self._params = params
        self._round = round_
        self._real = int(params.real_fraction * round_.batch)
        if round_.inverted is None:
            raise ReflowbenchError("rca trains on stored inverted pairs: name their folder by --inverted")
        self._inverted = round_.inverted

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        if not self._real:
            return self._round.draw_synthetic(step, self._round.batch)
        alpha = self._params.regenerate_every
        if alpha and step and step % alpha == 0:
            self._regenerate(self._source(networks))
        rows = self._round.draw_real(step, self._real)
        real = self._inverted.rows(rows), self._round.images.images[rows]
        return join(self._round.draw_synthetic(step, self._round.batch - self._real), real)

    def _source(self, networks: Networks) -> Velocity:
        if self._params.source == "round_start":
            assert self._round.start is not None
            return self._round.start
        return networks.velocity(self._params.source)

    def _regenerate(self, velocity: Velocity) -> None:
        r = self._round
        assert r.pairs is not None and r.scratch is not None
        manifest, blocks = inverted_pairs(velocity, r.images.images, r.pairs, r.seed, r.round)
        write_pairs(r.scratch / "inverted", manifest, blocks)
        self._inverted = StoredHalf(r.scratch / "inverted")
        self.evaluations += manifest.evaluations
