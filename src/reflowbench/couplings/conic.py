"""Balanced Conic Rectified Flow: inverted real pairs whose noise is turned away a little (2025, arXiv 2510.25229)."""

from __future__ import annotations

import torch
from pydantic import Field

from reflowbench.core.randomness import generator, noise
from reflowbench.couplings.shared.base import Coupling, Inputs, Networks, Pairs
from reflowbench.couplings.shared.inverted import InvertedPairs, MixParams
from reflowbench.couplings.shared.method import Method
from reflowbench.runtime.params import Fraction


class ConicParams(MixParams):
    """How many batches are real, and how far their noise turns."""

    real_fraction: Fraction = Field(
        description="lambda: share of batches, in the first half of the round, that are real"
    )
    zeta_max: Fraction = Field(description="largest turn towards fresh noise; published: 0.13 on CIFAR-10")


def slerp(start: torch.Tensor, end: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Spherical interpolation, row by row.

    Args:
        start: Shape (n, dim).
        end: Shape (n, dim).
        fraction: 0 is `start`, 1 is `end`; shape (n, 1).

    Returns:
        Shape (n, dim).
    """
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1)[:, None]
    angle = torch.arccos(cosine.clamp(-1 + 1e-6, 1 - 1e-6))
    return (torch.sin((1 - fraction) * angle) * start + torch.sin(fraction * angle) * end) / torch.sin(angle)


class Conic(Coupling):
    """Real and synthetic batches alternate in the first half of the round; the second half is synthetic.

    The noise of a real image is slerped towards fresh noise by zeta = zeta_max 2 r^2 / (1 + r^2),
    r ~ U(0, 1), so that a cone around the inverted noise leads to the image.
    """

    def __init__(self, params: ConicParams, inputs: Inputs) -> None:
        super().__init__()
        self._params, self._inputs = params, inputs
        self._inverted = InvertedPairs(inputs, params, self.spent)

    def _is_real(self, step: int) -> bool:
        """Spread the real batches evenly over the first half: every other one for a share of a half."""
        share = self._params.real_fraction
        return step < self._inputs.steps // 2 and int((step + 1) * share) > int(step * share)

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        r = self._inputs
        self._inverted.refresh(step, networks)
        if not self._is_real(step):
            return r.draw_synthetic(step, r.batch)
        x0, x1 = self._inverted.draw(step, r.batch)
        fresh = noise(r.seed, "conic noise", r.round, range(step * r.batch, (step + 1) * r.batch), r.images.dim)
        u = torch.rand(r.batch, 1, generator=generator(r.seed, "conic turn", r.round, step))
        return slerp(x0, fresh, self._params.zeta_max * 2 * u**2 / (1 + u**2)), x1

    def state(self) -> dict[str, torch.Tensor]:
        """See `Coupling.state`."""
        return self._inverted.state()

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """See `Coupling.restore`."""
        self._inverted.restore(state)


METHOD = Method(
    ConicParams,
    Conic,
    stored=frozenset({"synthetic", "inverted"}),
    regenerates=True,
)
