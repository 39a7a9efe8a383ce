"""RCA: Reflow with inverted real pairs in every batch (Zhu et al. 2024, arXiv 2412.08175)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reflowbench.couplings.shared.base import Inputs
from reflowbench.couplings.shared.inverted import Correction, MixParams
from reflowbench.couplings.shared.method import Method
from reflowbench.couplings.shared.mixed import Mixed
from reflowbench.pairs.whitening import standardize, whiten


class RcaParams(MixParams):
    """lambda, alpha and the source of the published method; and a linear correction of the noise."""

    whiten: Literal["none", "coordinates", "full"] = Field(
        description="correction of the inverted noise: to mean 0 and variance 1 (coordinates) or covariance I (full)"
    )


class Rca(Mixed):
    """A share lambda of each batch is real images with the noise that the reverse flow gives them.

    The inverted pairs are rebuilt every `regenerate_every` steps (alpha). Whitening is not in the
    paper: it gives the inverted noise the mean and covariance of N(0, I).
    """

    def __init__(self, params: RcaParams, inputs: Inputs) -> None:
        corrections: dict[str, Correction | None] = {
            "none": None,
            "coordinates": lambda noise, rebuilt: standardize(noise),
            "full": lambda noise, rebuilt: whiten(noise),
        }
        super().__init__(params, inputs, corrections[params.whiten])


METHOD = Method(
    RcaParams,
    Rca,
    stored=frozenset({"synthetic", "inverted"}),
    regenerates=True,
)
