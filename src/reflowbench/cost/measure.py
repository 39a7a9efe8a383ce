"""How many FLOPs a second this machine gets through: of a training step and of a sampling step, as they really run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from reflowbench.cost.network import VelocityCost
from reflowbench.couplings.shared.base import Coupling, Networks, Pairs
from reflowbench.data.blocks import BLOCK
from reflowbench.flow.field import Field
from reflowbench.flow.solvers import solve
from reflowbench.networks import registry
from reflowbench.networks.base import Shape
from reflowbench.runtime.device import device
from reflowbench.runtime.params import Params
from reflowbench.training.loop import Trainer

_WARM_UP = 3
_REPEATS = 15


@dataclass(frozen=True)
class Throughput:
    """FLOPs per second.

    Attributes:
        training: Of training passes, the optimizer's work included.
        sampling: Of solving the flow.
    """

    training: float
    sampling: float

    def seconds(self, train_flops: int, sample_flops: int) -> float:
        """Time of some work."""
        return train_flops / self.training + sample_flops / self.sampling


class _SamePairs(Coupling):
    """The same batch at every step."""

    def __init__(self, pairs: Pairs) -> None:
        super().__init__()
        self._pairs = pairs

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        return self._pairs


def measure(params: Params, network: VelocityCost, shape: Shape) -> Throughput:
    """Time some steps: the median, after a few that are not counted.

    Args:
        params: The whole of the parameters.
        network: Their network, counted.
        shape: (channels, height, width) of the images.

    Returns:
        The throughput of this machine, with the number of threads that torch has now, on the device that it uses.
    """
    made, dim = registry.build(params.network, shape, seed=0).to(device()), math.prod(shape)
    pairs = (torch.randn(params.round.batch, dim), torch.rand(params.round.batch, dim))
    few = params.round.model_copy(update={"steps": _WARM_UP + _REPEATS})
    training = iter(Trainer(made, _SamePairs(pairs), few, seed=0, round_=0, path="round"))
    block = torch.randn(BLOCK, dim)
    step = _time(lambda: next(training))
    field = Field(made, params.pairs.precision)
    sample = _time(lambda: solve(field, block, "euler", 1))
    return Throughput(network.training(params.round).flops / step, network.sampling(BLOCK).flops / sample)


def _time(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_WARM_UP + _REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return median(seconds[_WARM_UP:])
