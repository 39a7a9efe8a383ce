"""Base training: noise and images drawn independently (Liu et al. 2022, arXiv 2209.03003)."""

from __future__ import annotations

import torch

from reflowbench.core.randomness import noise
from reflowbench.couplings.shared.base import Coupling, Inputs, Networks, Pairs


class Independent(Coupling):
    """x0 fresh noise, x1 a random real image, which may be mirrored."""

    def __init__(self, inputs: Inputs, flip: bool = False) -> None:
        """Prepare a round.

        Args:
            inputs: What the round hands over.
            flip: Mirror each image left to right with probability 1/2; which ones follows from the step.
        """
        super().__init__()
        self._inputs, self._flip = inputs, flip

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
        x1 = r.images.images[r.draw_real(step, count)]
        if self._flip:
            turned = r.draw("flip", step, 2, count).bool()
            x1 = torch.where(turned[:, None], mirrored(x1, r.images.shape), x1)
        return x0, x1


def mirrored(images: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Images with left and right exchanged.

    Args:
        images: Shape (n, channels * height * width).
        shape: (channels, height, width).

    Returns:
        The same shape.
    """
    return images.reshape(-1, *shape).flip(3).flatten(1)
