"""What a coupling is, what it may look at, and the draws that all couplings share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from reflowbench.core.config import PairsParams
from reflowbench.core.data.images import ImageSet
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.flow.path import Velocity
from reflowbench.core.randomness import generator
from reflowbench.pairs.store import StoredHalf, synthetic_noise

Pairs = tuple[torch.Tensor, torch.Tensor]
"""(x0, x1): noise and image, each of shape (n, dim)."""


@dataclass(frozen=True)
class Networks:
    """The networks as they are at the current training step."""

    raw: nn.Module
    ema: nn.Module

    def velocity(self, source: str) -> Velocity:
        """The field of the `raw` or the `ema` network in evaluation mode."""
        network = self.raw if source == "raw" else self.ema

        def field(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            was_training = network.training
            network.eval()
            value: torch.Tensor = network(x, t)
            network.train(was_training)
            return value

        return field


@dataclass(frozen=True)
class Round:
    """What a round hands to its coupling.

    Attributes:
        seed: Seed of the chain.
        round: Round number k (0: base).
        batch: Pairs per training batch.
        images: The real images.
        pairs: How stored pairs are made, for methods that rebuild them within the round.
        start: Field of the weights that the round starts from.
        synthetic: Stored synthetic pairs, for methods that use them.
        inverted: Stored inverted real pairs, for methods that use them.
        scratch: Folder for pairs rebuilt within the round.
    """

    seed: int
    round: int
    batch: int
    images: ImageSet
    pairs: PairsParams | None = None
    start: Velocity | None = None
    synthetic: StoredHalf | None = None
    inverted: StoredHalf | None = None
    scratch: Path | None = None

    def __post_init__(self) -> None:
        """Refuse pairs of another chain: their noise is recomputed, so the mistake would go unseen.

        Raises:
            ReflowbenchError: If stored pairs are of another seed, round or image set.
        """
        for half in filter(None, (self.synthetic, self.inverted)):
            m = half.manifest
            if (m.seed, m.round, m.dim) != (self.seed, self.round, self.images.dim):
                raise ReflowbenchError(
                    f"the {m.kind} pairs are of seed {m.seed}, round {m.round}, {m.dim} values per image; this is "
                    f"seed {self.seed}, round {self.round}, {self.images.dim} values: run `dvc repro`"
                )
        if self.inverted and len(self.inverted) != len(self.images):
            raise ReflowbenchError(
                f"{len(self.inverted)} inverted pairs for {len(self.images)} real images: run `dvc repro`"
            )

    def draw(self, purpose: str, step: int, high: int, count: int) -> torch.Tensor:
        """Row numbers in [0, high) for one step, shape (count,), with replacement."""
        return torch.randint(high, (count,), generator=generator(self.seed, purpose, self.round, step))

    def draw_synthetic(self, step: int, count: int) -> Pairs:
        """Stored synthetic pairs for one step. Their draw is the same in every method of a chain's seed."""
        if self.synthetic is None:
            raise ReflowbenchError("this method trains on stored synthetic pairs: name their folder by --synthetic")
        rows = self.draw("synthetic rows", step, len(self.synthetic), count)
        x0 = synthetic_noise(self.seed, self.round, rows.tolist(), self.images.dim)
        return x0, self.synthetic.rows(rows)

    def draw_real(self, step: int, count: int) -> torch.Tensor:
        """Row numbers of real images for one step, shape (count,)."""
        return self.draw("real rows", step, len(self.images), count)


class Coupling(ABC):
    """A joint law of (x0, x1) that training draws its batches from."""

    evaluations: int = 0
    """Network evaluations spent on making pairs so far, counted in samples."""

    @abstractmethod
    def batch(self, step: int, networks: Networks) -> Pairs:
        """Draw the batch of a step.

        Args:
            step: Optimizer step, from 0.
            networks: The networks being trained, for couplings that follow them.

        Returns:
            Noise x0 and images x1, each of shape (batch, dim).
        """


def join(*parts: Pairs) -> Pairs:
    """Concatenate pairs, keeping each x0 with its x1."""
    return torch.cat([x0 for x0, _ in parts]), torch.cat([x1 for _, x1 in parts])


CouplingFactory = Callable[..., Coupling]
