"""Rectified flow and repeated Reflow on a mixture, with the library's own loop, couplings, pairs and solvers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from reflowbench.controls.gans.mixtures import Mixture
from reflowbench.controls.gans.params import FlowParams
from reflowbench.core.data.images import ImageSet
from reflowbench.core.flow.schemes import NFE_PER_STEP
from reflowbench.core.flow.solvers import solve
from reflowbench.core.networks import registry
from reflowbench.core.randomness import generator, noise
from reflowbench.couplings.reflow import Reflow, ReflowParams
from reflowbench.couplings.shared.base import Coupling, Inputs
from reflowbench.couplings.shared.independent import Independent
from reflowbench.pairs.generate import synthetic_pairs
from reflowbench.pairs.store import StoredHalf, write_pairs
from reflowbench.training.loop import Step, Trainer

DIM = 2


def as_images(mixture: Mixture, points: int, seed: int) -> ImageSet:
    """A training set of a mixture, as images of one channel, one row and two columns, nominally in [-1, 1].

    Args:
        mixture: Whose points.
        points: How many.
        seed: Which points.

    Returns:
        Points divided by `mixture.scale`, with their modes as labels. They are never rounded to grey levels.
    """
    x, mode = mixture.sample(points, generator(seed, f"points of {mixture.name}"))
    return ImageSet(x / mixture.scale, mode, (1, 1, DIM), levels=2, dequantized=False)


class ReflowChain:
    """The chain of one seed: a base model on the independent coupling, then rounds of Reflow.

    Iterating trains all of it; afterwards `models` holds the model of every round, the base first.
    """

    def __init__(self, mixture: Mixture, params: FlowParams, seed: int, scratch: Path) -> None:
        """Prepare a chain.

        Args:
            mixture: What to learn.
            params: Networks, lengths and pairs.
            seed: Seed of the chain.
            scratch: Folder for the stored pairs.
        """
        self.models: list[nn.Module] = []
        self._mixture, self._params, self._seed, self._scratch = mixture, params, seed, scratch
        self._points = as_images(mixture, params.points, seed)

    def __len__(self) -> int:
        """Optimizer steps of all rounds."""
        return self._params.base.steps + self._params.rounds * self._params.round.steps

    def __iter__(self) -> Iterator[Step]:
        """Train round by round, yielding after each optimizer step.

        Yields:
            The step's report.

        Raises:
            ReflowbenchError: If training diverges; it names `round`, which stands for `gans.flow.base` in round 0.
        """
        network = registry.build(self._params.network, DIM, self._seed)
        for k in range(self._params.rounds + 1):
            params = self._params.round if k else self._params.base
            trainer = Trainer(network, self._coupling(k), params, self._seed, k)
            yield from trainer
            self.models.append(trainer.ema)
            network = copy.deepcopy(trainer.ema).requires_grad_(True)

    def _coupling(self, k: int) -> Coupling:
        """The independent coupling for the base, pairs of the last model after it."""
        params = self._params.round if k else self._params.base
        folder = self._scratch / f"k{k}"
        if k:
            pairs = synthetic_pairs(self.models[-1], self._params.pairs, self._seed, k, DIM)
            write_pairs(folder, *pairs)
        synthetic = StoredHalf(folder) if k else None
        inputs = Inputs(self._seed, k, params.batch, params.steps, self._points, synthetic=synthetic)
        return Reflow(ReflowParams(), inputs) if k else Independent(inputs)

    def sample(self, k: int, nfe: int, n: int) -> torch.Tensor:
        """Points of the model of round k in the mixture's units, shape (n, 2), from the same noise for all rounds."""
        start = noise(self._seed, "flow samples", 0, range(n), DIM)
        solver = self._params.solver
        return solve(self.models[k], start, solver, nfe // NFE_PER_STEP[solver]) * self._mixture.scale
