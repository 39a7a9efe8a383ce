"""Fresh real data beside synthetic pairs, with independent noise: real images, but no straightening of them."""

from __future__ import annotations

from pydantic import Field

from reflowbench.couplings.shared.base import Coupling, Inputs, Networks, Pairs, join
from reflowbench.couplings.shared.independent import Independent
from reflowbench.couplings.shared.method import Method
from reflowbench.runtime.params import Fraction, Group


class FreshParams(Group):
    """lambda = 1 is the control: the base model's training, simply continued."""

    real_fraction: Fraction = Field(description="lambda: share of independent real pairs in a batch")


class Fresh(Coupling):
    """int(lambda * B) independent pairs of noise and real image, the rest synthetic."""

    def __init__(self, params: FreshParams, inputs: Inputs) -> None:
        super().__init__()
        self._inputs, self._independent = inputs, Independent(inputs)
        self._n_real = int(params.real_fraction * inputs.batch)
        self.unused = set() if self._n_real < inputs.batch else {"synthetic"}

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        n_synthetic = self._inputs.batch - self._n_real
        parts = [self._inputs.draw_synthetic(step, n_synthetic)] if n_synthetic else []
        return join(*parts, self._independent.draw(step, self._n_real))


METHOD = Method(FreshParams, Fresh, stored=frozenset({"synthetic"}))
