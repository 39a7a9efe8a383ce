"""The cost of every stage of a profile, from its parameters and the number and shape of its images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from reflowbench.core.schemes import NFE_PER_STEP
from reflowbench.cost.network import BYTES, COPIES, VelocityCost, classifier_training
from reflowbench.cost.pairs import STORED, Variant, variants
from reflowbench.cost.work import Line, Work
from reflowbench.couplings.shared.base import Spent
from reflowbench.couplings.shared.online import Online
from reflowbench.data.blocks import BLOCK
from reflowbench.data.images import ImageSet
from reflowbench.data.packed import PackedImages
from reflowbench.metrics import inversion, neighbours
from reflowbench.metrics.evaluate import ADAPTIVE_ROWS
from reflowbench.networks.base import Shape
from reflowbench.runtime.params import EvaluateParams, OptimParams, Params

ADAPTIVE_NFE = 40
"""Assumed of the adaptive solver, whose NFE depends on the model: it takes 26 to 44 on the digits."""
_DOUBLE = 8


class Planner:
    """Counts the stages of one profile."""

    def __init__(self, params: Params, train: ImageSet, heldout: ImageSet, space: Shape) -> None:
        """Build the network without memory.

        Args:
            params: The whole of the parameters, checked.
            train: The images that models are trained on; their values are not looked at.
            heldout: Those that they are not.
            space: Shape of what models work on: of the images, or of their latents.
        """
        self._params, self._n, self._pixels = params, len(train), train.dim
        self._dim = math.prod(space)
        self._sets = _bytes(train) + _bytes(heldout)
        self._images = BYTES * self._n * self._dim if params.latents.kind != "none" else _bytes(train)
        self._shape, self._classes = train.shape, train.classes
        self.network = VelocityCost(params.network, space)
        self._block = self.network.sampling(BLOCK)

    def lines(self) -> list[Line]:
        """All stages, in the order in which they run."""
        return list(self._lines())

    def _lines(self) -> Iterator[Line]:
        p = self._params
        seeds, chains = len(p.grid.seeds), variants(p)
        yield Line("prepare_data", "", 1, disk=self._sets, memory=self._sets)
        if not p.chains:
            yield Line("encode", "", 1, disk=self._images, memory=self._sets + self._images)
        yield self._features()
        bases = len({chain.base for chain in chains}) if p.chains else 1
        model = self.network.weight_bytes
        semidiscrete = BYTES * self._n * ("ot" in {chain.base for chain in chains})
        training = self._training(p.base, looks=not p.chains)
        yield Line("train_base", "", bases * seeds, training, bases * seeds * model + semidiscrete * seeds,
                   self._training_memory(p.base))  # fmt: skip
        for chain in chains:
            yield from self._chain(chain) if p.chains else self._rounds(chain)
        yield from self._evaluations(chains, bases)

    def _evaluations(self, chains: Sequence[Variant], bases: int) -> Iterator[Line]:
        p, evaluation = self._params, self._evaluation()
        seeds = len(p.grid.seeds)
        yield Line("evaluate_base", "", bases * seeds, evaluation, bases * seeds * self._samples(), self._scores())
        if not p.chains:
            models = seeds * len(p.grid.rounds)
            for chain in chains:
                yield Line("evaluate", chain.name, models, evaluation, models * self._samples(), self._scores())
        for group in ("summarize", "report"):
            yield Line(group, "", 1)
        if not p.chains:
            yield Line("track", "", 1)

    def _features(self) -> Line:
        p = self._params.features
        one, weights = classifier_training(p, self._shape, self._classes)
        work = Work(updates=p.steps, train=p.steps * p.batch, train_flops=p.steps * one.flops)
        return Line("train_features", "", 1, work, weights, self._sets + 4 * weights + one.activations)

    def _rounds(self, chain: Variant) -> Iterator[Line]:
        """The stages of a method's rounds."""
        p = self._params
        rounds, stored = p.grid.rounds[-1], chain.method.stored
        count = len(p.grid.seeds) * rounds
        sampling = self.network.weight_bytes + self._block.activations
        made = {"generate_pairs": self._synthetic(chain), "rca_regenerate": self._inverted(chain)}
        for group, kind, n in (("generate_pairs", "synthetic", chain.pairs.n), ("rca_regenerate", "inverted", self._n)):
            if kind in stored:
                disk = count * STORED[chain.pairs.storage] * n * self._dim
                yield Line(group, chain.name, count, made[group], disk, sampling + self._images)
        carried = sum(chain.carried_bytes(k, self._n, self._dim) for k in range(1, rounds + 1))
        disk = count * self.network.weight_bytes + len(p.grid.seeds) * carried
        work = self._training(chain.round, looks=True) + self._within(chain)
        yield Line(chain.group, chain.name, count, work, disk, self._training_memory(chain.round))

    def _chain(self, chain: Variant) -> Iterator[Line]:
        """A chain of the ablations is one stage, which keeps the evaluations only."""
        p = self._params
        seeds = len(p.grid.seeds)
        one = self._training(chain.round, looks=False) + self._within(chain)
        for kind, work in (("synthetic", self._synthetic(chain)), ("inverted", self._inverted(chain))):
            if kind in chain.method.stored:
                one += work
        whole = one.times(seeds * p.grid.rounds[-1]) + self._evaluation().times(seeds * len(p.grid.rounds))
        memory = max(self._training_memory(chain.round), self._scores())
        yield Line("chain", chain.name, 1, whole, seeds * len(p.grid.rounds) * self._samples(), memory)

    def _training(self, params: OptimParams, looks: bool) -> Work:
        """Training passes, and the looks at the model before the first update, every so many, and after the last."""
        monitor, steps = self._params.monitor, params.steps
        shown = looks * (1 + math.ceil(steps / monitor.every)) * monitor.nfe
        return Work(
            updates=steps,
            train=steps * params.batch,
            looking=shown * monitor.n_samples,
            train_flops=steps * self.network.training(params).flops,
            sample_flops=shown * self._blocks(monitor.n_samples),
        )

    def _training_memory(self, params: OptimParams) -> int:
        return COPIES * self.network.weight_bytes + self.network.training(params).activations + self._images

    def _synthetic(self, chain: Variant) -> Work:
        n, nfe = chain.pairs.n, chain.pairs_nfe
        return Work(forward=n * nfe, sample_flops=nfe * self._blocks(n))

    def _inverted(self, chain: Variant) -> Work:
        return Work(inversion=self._n * chain.pairs_nfe, sample_flops=chain.pairs_nfe * self._blocks(self._n))

    def _within(self, chain: Variant) -> Work:
        spent = chain.within(self._n)
        if issubclass(chain.coupling, Online):
            rows = chain.round.batch // chain.params.replay
            flops = (spent.forward + spent.inversion) // rows * self.network.sampling(rows, own_times=True).flops
        else:
            flops = spent.inversion // self._n * self._blocks(self._n)
        return Work(forward=spent.forward, inversion=spent.inversion, sample_flops=flops)

    def _evaluation(self) -> Work:
        p = self._params.evaluate
        there_and_back = 2 * p.inversion_steps * NFE_PER_STEP[inversion.SOLVER]
        inverted = (min(p.inversion_images, self._n), min(p.inversion_images, p.n_samples))
        looking = p.n_samples * (sum(p.nfe) + ADAPTIVE_NFE) + there_and_back * sum(inverted)
        flops = sum(p.nfe) * self._blocks(p.n_samples) + there_and_back * sum(map(self._blocks, inverted))
        whole, rest = divmod(p.n_samples, ADAPTIVE_ROWS)
        chunks = [(whole, ADAPTIVE_ROWS), (1, rest)]
        flops += ADAPTIVE_NFE * sum(n * self.network.sampling(rows).flops for n, rows in chunks if n and rows)
        return Work(looking=looking, sample_flops=flops)

    def _samples(self) -> int:
        """Bytes of the grids of samples, one for each NFE and one of the adaptive solver."""
        p = self._params.evaluate
        return BYTES * p.grid_images * self._pixels * (len(p.nfe) + 1)

    def _scores(self) -> int:
        """Bytes of an evaluation: its images, and distances of samples and real images to each other."""
        p: EvaluateParams = self._params.evaluate
        samples, real = (min(n, neighbours.MOST) for n in (p.n_samples, self._n))
        distances = _DOUBLE * (samples * real + max(samples, real) ** 2)
        sampled = p.n_samples * self._pixels  # a byte each
        return (
            self._sets
            + self.network.weight_bytes
            + self.network.sampling(min(p.n_samples, ADAPTIVE_ROWS)).activations
            + sampled
            + distances
        )

    def _blocks(self, rows: int) -> int:
        """FLOPs of one evaluation of so many rows in full blocks."""
        return math.ceil(rows / BLOCK) * self._block.flops


def _bytes(images: ImageSet) -> int:
    """Bytes of a set of images, as it is kept."""
    if isinstance(images.images, PackedImages):
        return len(images) * images.dim * (1 + images.dequantized)
    return BYTES * len(images) * images.dim


def facts(chain: Variant, n_images: int) -> dict[str, int]:
    """What the training of a round will record of its cost, in its train.json.

    Args:
        chain: The method.
        n_images: Real images.

    Returns:
        Updates and network evaluations by the names of `Trainer.facts`.
    """
    stored: Spent = chain.stored(n_images)
    within: Spent = chain.within(n_images)
    return {
        "updates": chain.round.steps,
        "train_evaluations": chain.round.steps * chain.round.batch,
        "forward_evaluations": stored.forward + within.forward,
        "inversion_evaluations": stored.inversion + within.inversion,
    }
