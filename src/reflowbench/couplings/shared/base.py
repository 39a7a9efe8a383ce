"""What a coupling is, what it may look at, and the draws that all couplings share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from reflowbench.core.randomness import generator
from reflowbench.core.schemes import Precision
from reflowbench.data.images import ImageSet
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.field import Field
from reflowbench.flow.path import Velocity
from reflowbench.pairs.store import StoredHalf, synthetic_noise
from reflowbench.runtime.params import PairsParams

Pairs = tuple[torch.Tensor, torch.Tensor]
"""(x0, x1): noise and image, each of shape (n, dim)."""


@dataclass(frozen=True)
class Networks:
    """The networks as they are at the current training step.

    Attributes:
        raw: The network being trained.
        ema: Its moving average.
        start: The weights that the round started from.
        precision: In which pairs are made by them, unless the pairs have a precision of their own.
    """

    raw: nn.Module
    ema: nn.Module
    start: nn.Module
    precision: Precision = "float32"

    def velocity(self, source: str) -> Velocity:
        """The field of one network in evaluation mode: `raw`, `ema`, or `round_start`."""
        return Field({"raw": self.raw, "ema": self.ema, "round_start": self.start}[source], self.precision)


@dataclass(frozen=True)
class Inputs:
    """What a round hands to its coupling.

    Attributes:
        seed: Seed of the chain.
        round: Round number k (0: base).
        batch: Pairs per training batch.
        steps: Optimizer steps of the round.
        images: The real images.
        pairs: How stored pairs are made, for methods that rebuild them within the round.
        clip: Whether images that a method generates within the round are clipped to [-1, 1].
        synthetic: Stored synthetic pairs, for methods that use them.
        inverted: Stored inverted real pairs, for methods that use them.
        carried: Folder that the round before left for this one by `Coupling.carry`; None if it left nothing.
        scratch: Folder for pairs rebuilt within the round.
    """

    seed: int
    round: int
    batch: int
    steps: int
    images: ImageSet
    pairs: PairsParams | None = None
    clip: bool = True
    synthetic: StoredHalf | None = None
    inverted: StoredHalf | None = None
    carried: Path | None = None
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
        synthetic = self.stored("synthetic")
        rows = self.draw("synthetic rows", step, len(synthetic), count)
        return synthetic_noise(self.seed, self.round, rows.tolist(), self.images.dim), synthetic.rows(rows)

    def draw_real(self, step: int, count: int) -> torch.Tensor:
        """Row numbers of real images for one step, shape (count,)."""
        return self.draw("real rows", step, len(self.images), count)

    def stored(self, kind: str) -> StoredHalf:
        """Stored pairs of a kind that the method cannot do without.

        Returns:
            The stored half, by whose rows the other one is drawn again.

        Raises:
            ReflowbenchError: If the stage was not given them.
        """
        half = self.synthetic if kind == "synthetic" else self.inverted
        if half is None:
            raise ReflowbenchError(f"this method trains on stored {kind} pairs: name their folder by --{kind}")
        return half


@dataclass
class Spent:
    """Network evaluations spent on making pairs, counted in samples.

    Attributes:
        forward: From noise to image.
        inversion: From image to noise.
    """

    forward: int = 0
    inversion: int = 0


@dataclass
class Coupling(ABC):
    """A joint law of (x0, x1) that training draws its batches from.

    What `batch` gives for a step depends on the seed, the round, the step and the networks, and on
    what `state` returns, so that a run goes on after a restart as if nothing had happened.
    """

    spent: Spent = field(default_factory=Spent, init=False)
    unused: set[str] = field(default_factory=set, init=False)
    """Kinds of stored pairs that the parameters keep it from drawing; they are no cost of the method."""

    @abstractmethod
    def batch(self, step: int, networks: Networks) -> Pairs:
        """Draw the batch of a step.

        Args:
            step: Optimizer step, from 0; asked for in order.
            networks: The networks being trained, for couplings that follow them.

        Returns:
            Noise x0 and images x1, each of shape (batch, dim).
        """

    def state(self) -> dict[str, torch.Tensor]:
        """What `batch` needs to go on from here, besides the inputs; empty for couplings without a memory."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:  # noqa: B027 (most couplings have no memory)
        """Take back what `state` returned."""

    def carry(self, folder: Path) -> None:  # noqa: B027 (most couplings leave nothing)
        """Leave something for the next round in a folder that this makes; it comes back as `Inputs.carried`."""

    def finish(self, networks: Networks) -> None:  # noqa: B027 (most couplings do nothing)
        """Change `networks.ema`, the model, in place when the round has been trained."""


def join(*parts: Pairs) -> Pairs:
    """Concatenate pairs, keeping each x0 with its x1."""
    return torch.cat([x0 for x0, _ in parts]), torch.cat([x1 for _, x1 in parts])
