"""Inverted real pairs: stored at the start of the round, rebuilt within it, their noise law corrected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field

from reflowbench.core.schemes import Source
from reflowbench.couplings.shared.base import Inputs, Networks, Pairs, Spent
from reflowbench.errors import ReflowbenchError
from reflowbench.pairs.generate import inverted_pairs
from reflowbench.pairs.store import StoredHalf, write_pairs
from reflowbench.runtime.params import Fraction, Group

Correction = Callable[[torch.Tensor, int], torch.Tensor]
"""(inverted noise of all real images, how often it was rebuilt) -> noise to train on, one or more rows an image."""


class MixParams(Group):
    """A share of real pairs in each batch, inverted and rebuilt within the round."""

    real_fraction: Fraction = Field(description="lambda: share of inverted real pairs in a batch")
    regenerate_every: Annotated[int, Field(ge=0)] = Field(
        description="alpha: steps after which the inverted pairs are rebuilt; 0: never"
    )
    source: Source = Field(
        description="weights that rebuild them: those of the round's start, the raw ones in training, or their average"
    )


class InvertedPairs:
    """Real images with the noise that the reverse flow gives them.

    Without a correction the stored shards are read where they lie. A correction looks at the noise of
    all images at once and keeps its result in memory.
    """

    def __init__(self, inputs: Inputs, params: MixParams, spent: Spent, correct: Correction | None = None) -> None:
        """Open the stored pairs.

        Args:
            inputs: What the round hands over.
            params: When to rebuild them, and by which network.
            spent: Where the cost of rebuilding is counted.
            correct: Correction of the noise law, made anew with the pairs.

        Raises:
            ReflowbenchError: If the round has no stored inverted pairs.
        """
        self._inputs, self._params, self._spent, self._correct = inputs, params, spent, correct
        self._take(inputs.stored("inverted"), 0)

    def _take(self, stored: StoredHalf, rebuilt: int) -> None:
        self._stored, self._rebuilt = stored, rebuilt
        self._noise = self._correct(stored.rows(torch.arange(len(stored))), rebuilt) if self._correct else None

    def refresh(self, step: int, networks: Networks) -> None:
        """Rebuild all pairs if it is time; to be called at every step, also where none are drawn.

        Args:
            step: Optimizer step.
            networks: The networks being trained.
        """
        alpha = self._params.regenerate_every
        if alpha and step and step % alpha == 0:
            self._rebuild(networks)

    def draw(self, step: int, count: int) -> Pairs:
        """Draw real pairs for one step.

        Args:
            step: Optimizer step.
            count: How many.

        Returns:
            Noise and images.
        """
        images = self._inputs.images.images
        if self._noise is None:
            rows = self._inputs.draw_real(step, count)
            return self._stored.rows(rows), images[rows]
        rows = self._inputs.draw("real rows", step, len(self._noise), count)
        return self._noise[rows], images[rows % len(images)]

    def _rebuild(self, networks: Networks) -> None:
        r = self._inputs
        if r.pairs is None or r.scratch is None:
            raise ReflowbenchError("regeneration needs the solver of the pairs and scratch space")
        velocity = networks.velocity(self._params.source)
        manifest, blocks = inverted_pairs(velocity, r.images.images, r.pairs, r.seed, r.round)
        write_pairs(r.scratch / "inverted", manifest, blocks)
        self._take(StoredHalf(r.scratch / "inverted"), self._rebuilt + 1)
        self._spent.inversion += manifest.evaluations

    def state(self) -> dict[str, torch.Tensor]:
        """The pairs as they were last rebuilt; empty before that."""
        if not self._rebuilt:
            return {}
        every = self._stored.rows(torch.arange(len(self._stored)))
        return {"inverted": every, "rebuilt": torch.tensor(self._rebuilt), "cost": torch.tensor(self._spent.inversion)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what `state` returned."""
        r = self._inputs
        if not state:
            self._take(r.stored("inverted"), 0)
            self._spent.inversion = 0
            return
        if r.scratch is None:
            raise ReflowbenchError("pairs that were rebuilt within a round need scratch space")
        write_pairs(r.scratch / "inverted", r.stored("inverted").manifest, lambda start: [state["inverted"][start:]])
        self._take(StoredHalf(r.scratch / "inverted"), int(state["rebuilt"]))
        self._spent.inversion = int(state["cost"])
