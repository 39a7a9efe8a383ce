"""Rectified flow and repeated Reflow on a mixture, with the library's own loop, couplings, pairs and solvers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from reflowbench.controls.gans.mixtures import Mixture
from reflowbench.controls.gans.params import FlowParams
from reflowbench.core.randomness import generator, noise
from reflowbench.core.schemes import NFE_PER_STEP
from reflowbench.couplings.reflow import METHOD, ReflowParams
from reflowbench.data.images import ImageSet
from reflowbench.flow.solvers import solve
from reflowbench.training.chain import Chain, base_trainer
from reflowbench.training.guard import Step

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
            ReflowbenchError: If training diverges.
        """
        p, points, seed = self._params, self._points, self._seed
        trainer = base_trainer(points, p.network, p.base, seed, path="gans.flow.base")
        yield from trainer
        self.models.append(trainer.ema)
        own = ReflowParams()
        chain = Chain(trainer.ema, points, METHOD, own, p.round, p.pairs, seed, self._scratch, path="gans.flow.round")
        for _ in range(p.rounds):
            yield from chain.train_round()
            self.models.append(chain.model)

    def sample(self, k: int, nfe: int, n: int) -> torch.Tensor:
        """Points of the model of round k in the mixture's units, shape (n, 2), from the same noise for all rounds."""
        start = noise(self._seed, "flow samples", 0, range(n), DIM)
        solver = self._params.solver
        return solve(self.models[k], start, solver, nfe // NFE_PER_STEP[solver]) * self._mixture.scale
