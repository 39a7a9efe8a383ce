"""How time and memory grow: the exponent of a power law through the times of several sizes.

Each size runs in a process of its own, whose memory is what it takes beyond what it had before the work.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median

import numpy as np

from benchmarks.timing import seconds


@dataclass(frozen=True)
class Growth:
    """Times and memory of several sizes.

    Attributes:
        what: What is done.
        by: What its size is.
        sizes: In ascending order.
        seconds: Medians.
        bytes: Memory at most, beyond that before.
    """

    what: str
    by: str
    sizes: list[int]
    seconds: list[float]
    bytes: list[int]

    def written(self) -> dict[str, object]:
        """As results.json holds it; exponents by least squares of logarithms."""
        return asdict(self) | {"time_exponent": self._exponent(self.seconds), "memory_exponent": self._memory()}

    def _exponent(self, values: list[float]) -> float:
        return float(np.polyfit(np.log(self.sizes), np.log(values), 1)[0])

    def _memory(self) -> float | None:
        """None where there is too little to tell: below 16 MB at the largest size."""
        return self._exponent([max(b, 1.0) for b in map(float, self.bytes)]) if self.bytes[-1] > 2**24 else None


def pairs(n: int) -> Callable[[], object]:
    """So many pairs of the default network, made and thrown away block by block as they are when they are stored."""
    from benchmarks.peers.networks import digits, fresh
    from reflowbench.pairs.generate import synthetic_pairs
    from reflowbench.runtime.params import PairsParams

    params = PairsParams(n=n, solver="heun", steps=12)
    network, dim = fresh(0), digits()[0].dim
    return lambda: sum(len(block) for block in synthetic_pairs(network, params, 0, 1, dim)[1](0))


def batch(n: int) -> Callable[[], object]:
    """Training steps of the default network with a batch of this size."""
    from benchmarks.peers.networks import digits, fresh, params, trainer_of

    _, steps = trainer_of(fresh(0), digits()[0], params().base.model_copy(update={"batch": n, "steps": 1000}), 0)
    return lambda: steps(20)


def pixels(n: int) -> Callable[[], object]:
    """A forward pass of a U-Net of fixed width, attention at its lowest level, on 16 images with so many pixels."""
    import torch

    from reflowbench.networks import registry
    from reflowbench.runtime.params import UNetParams

    side = round(n**0.5)
    shape = UNetParams(
        name="unet", channels=32, multipliers=[1, 2, 2, 2], blocks=1, attention=[side // 8], head_channels=32, dropout=0
    )
    network, x, t = registry.build(shape, (3, side, side), 0).eval(), torch.randn(16, 3 * n), torch.rand(1)

    def work() -> None:
        with torch.inference_mode():
            network(x, t)

    return work


def steps(n: int) -> Callable[[], object]:
    """A solution with so many Euler steps."""
    import torch

    from benchmarks.peers.networks import fresh
    from reflowbench.flow.solvers import solve

    network, x = fresh(0), torch.randn(256, 64)
    return lambda: solve(network, x, "euler", n)


def samples(n: int) -> Callable[[], object]:
    """Evaluating a model of the default profile with so many samples."""
    from benchmarks.peers.networks import digits, fresh, params
    from reflowbench.metrics.evaluate import Evaluation
    from reflowbench.metrics.features.classifier import Classifier
    from reflowbench.metrics.reference import Reference

    own, (data, heldout) = params().evaluate.model_copy(update={"n_samples": n}), digits()
    network, features = fresh(0), Classifier(data.shape, data.classes, 64).eval()
    return lambda: list(Evaluation(network, data, heldout, Reference(data, [features], features, own), own, 0))


def frechet(n: int) -> Callable[[], object]:
    """The Frechet distance of so many samples with 64 features, with its standard error."""
    import numpy as np

    from reflowbench.core.jackknife import groups_of
    from reflowbench.metrics.frechet import FrechetDistance

    draw = np.random.default_rng(0)
    distance, made = FrechetDistance(draw.normal(size=(1437, 64))), draw.normal(size=(n, 64))
    return lambda: [distance(np.delete(made, rows, axis=0)) for rows in groups_of(n, 16)]


CASES: tuple[tuple[str, str, Callable[[int], Callable[[], object]], tuple[int, ...]], ...] = (
    ("pairs, default network", "pairs", pairs, (2048, 4096, 8192, 16384)),
    ("20 training steps, default network", "batch", batch, (128, 256, 512, 1024, 2048)),
    ("a U-Net's pass", "pixels", pixels, (16**2, 32**2, 64**2, 128**2)),
    ("a solution", "steps", steps, (8, 16, 32, 64, 128)),
    ("evaluation of a default model", "samples", samples, (512, 1024, 2048, 4096)),
    ("Frechet distance and its error", "samples", frechet, (4096, 8192, 16384, 32768)),
)


def rows(turns: int) -> Iterator[Growth]:
    """All cases."""
    context = multiprocessing.get_context("spawn")
    for what, by, prepare, sizes in CASES:
        found = []
        for size in sizes:
            with context.Pool(1) as pool:
                found.append(pool.apply(partial(_measured, prepare, size, min(turns, 3))))
        yield Growth(what, by, list(sizes), [time for time, _ in found], [memory for _, memory in found])


def _measured(prepare: Callable[[int], Callable[[], object]], size: int, turns: int) -> tuple[float, int]:
    work = prepare(size)
    before = _peak()
    taken = [seconds(work) for _ in range(turns + 1)]
    return median(taken[1:]), _peak() - before


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
