"""Batches of stored synthetic pairs and inverted real ones, in a fixed proportion."""

from __future__ import annotations

import torch

from reflowbench.couplings.shared.base import Coupling, Inputs, Networks, Pairs, join
from reflowbench.couplings.shared.inverted import Correction, InvertedPairs, MixParams


class Mixed(Coupling):
    """int(lambda * B) inverted real pairs and the rest synthetic, each pair kept together.

    The synthetic pairs stay those of the round's start. lambda = 0 is Reflow, to the byte; with
    lambda = 1 no synthetic pair is drawn.
    """

    def __init__(self, params: MixParams, inputs: Inputs, correct: Correction | None = None) -> None:
        """Prepare a round.

        Args:
            params: The method's block.
            inputs: What the round hands over.
            correct: Correction of the inverted noise's law.
        """
        super().__init__()
        self._inputs = inputs
        self._n_real = int(params.real_fraction * inputs.batch)
        kinds = {"synthetic": inputs.batch - self._n_real, "inverted": self._n_real}
        self.unused = {kind for kind, count in kinds.items() if not count}
        self._inverted = InvertedPairs(inputs, params, self.spent, correct) if self._n_real else None

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        n_synthetic = self._inputs.batch - self._n_real
        parts = [self._inputs.draw_synthetic(step, n_synthetic)] if n_synthetic else []
        if self._inverted:
            self._inverted.refresh(step, networks)
            parts.append(self._draw_real(step, self._inverted))
        return join(*parts)

    def _draw_real(self, step: int, inverted: InvertedPairs) -> Pairs:
        """The real pairs of a step's batch, for methods that pair real images in another way."""
        return inverted.draw(step, self._n_real)

    def state(self) -> dict[str, torch.Tensor]:
        """See `Coupling.state`."""
        return self._inverted.state() if self._inverted else {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """See `Coupling.restore`."""
        if self._inverted:
            self._inverted.restore(state)
