"""Base training: noise and images drawn independently (Liu et al. 2022, arXiv 2209.03003)."""

from __future__ import annotations

from reflowbench.core.randomness import noise
from reflowbench.couplings.shared.base import Coupling, Inputs, Networks, Pairs


class Independent(Coupling):
    """x0 fresh noise, x1 a random real image."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self._inputs = inputs

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        return self.draw(step, self._inputs.batch)

    def draw(self, step: int, count: int) -> Pairs:
        """Draw pairs for one step.

        Args:
            step: Optimizer step.
            count: How many, at most a batch.

        Returns:
            Noise and images.
        """
        r = self._inputs
        x0 = noise(r.seed, "independent noise", r.round, range(step * r.batch, step * r.batch + count), r.images.dim)
        return x0, r.images.images[r.draw_real(step, count)]
