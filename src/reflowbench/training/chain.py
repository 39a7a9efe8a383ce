"""A whole chain in one process: the base model, then round after round of one method, on images in memory.

The stages of the pipeline hand a round's model and pairs to the next one through files that DVC watches. Where models
are so small that starting a process costs more than a round, this runs the same rounds without.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from reflowbench.couplings.shared.base import Inputs, Spent
from reflowbench.couplings.shared.independent import Independent
from reflowbench.couplings.shared.method import Method
from reflowbench.data.images import ImageSet
from reflowbench.networks import registry
from reflowbench.pairs.generate import inverted_pairs, synthetic_pairs
from reflowbench.pairs.store import StoredHalf, write_pairs
from reflowbench.runtime.params import Group, GuardParams, NetworkParams, OptimParams, PairsParams
from reflowbench.training.guard import STOP, Step
from reflowbench.training.loop import Trainer


def base_trainer(images: ImageSet, network: NetworkParams, params: OptimParams, seed: int, *, path: str) -> Trainer:
    """Round 0: a fresh network on the independent coupling.

    Args:
        images: The real images.
        network: Which network.
        params: Length, optimizer and loss.
        seed: Seed of the weights, the noise and the batches.
        path: Where `params` stand in the parameter file; errors name it.

    Returns:
        What trains when it is iterated.
    """
    inputs = Inputs(seed, 0, params.batch, params.steps, images)
    return Trainer(registry.build(network, images.shape, seed), Independent(inputs), params, seed, 0, path=path)


class Round:
    """One round of a method: the stages of the pipeline and `Chain` train this.

    Attributes:
        coupling: Where its batches come from.
        trainer: Trains when it is iterated.
    """

    def __init__(
        self,
        network: nn.Module,
        method: Method,
        own: Group,
        params: OptimParams,
        inputs: Inputs,
        *,
        path: str,
        guard: GuardParams = STOP,
    ) -> None:
        """Prepare a round.

        Args:
            network: The model that the round starts from; trained in place.
            method: The method.
            own: Its parameters, of the class `method.params`.
            params: Length, optimizer and loss.
            inputs: What its coupling may look at.
            path: Where `params` stand in the parameter file; errors name it.
            guard: What counts as divergence.
        """
        self.coupling = method.coupling(own, inputs)
        self.trainer = Trainer(network, self.coupling, params, inputs.seed, inputs.round, path=path, guard=guard)
        self._stored = {"synthetic": inputs.synthetic, "inverted": inputs.inverted}

    def facts(self) -> dict[str, float]:
        """The cost and the losses as `Trainer.facts` gives them, with what the stored pairs cost that were drawn."""
        unused = self.coupling.unused
        cost = {k: half.manifest.evaluations for k, half in self._stored.items() if half and k not in unused}
        return self.trainer.facts(Spent(cost.get("synthetic", 0), cost.get("inverted", 0)))


class Chain:
    """Rounds of one method from a base model: the same weights as the stages of the pipeline give.

    Attributes:
        model: EMA network of the last round that was trained, in evaluation mode.
        round: Its number; 0: the base model.
        facts: Its cost and losses, as `Round.facts` gives them; empty for the base model.
    """

    def __init__(
        self,
        base: nn.Module,
        images: ImageSet,
        method: Method,
        own: Group,
        params: OptimParams,
        pairs: PairsParams,
        seed: int,
        scratch: Path,
        *,
        path: str,
        guard: GuardParams = STOP,
    ) -> None:
        """Prepare a chain.

        Args:
            base: Model of round 0; left as it is.
            images: The real images, shape (n, base's dim).
            method: The method.
            own: Its parameters, of the class `method.params`.
            params: Training of every round.
            pairs: How stored pairs are made.
            seed: Seed of the chain.
            scratch: Folder for pairs and for what rounds leave to later ones. It grows with the rounds.
            path: Where `params` stand in the parameter file; errors name it.
            guard: What counts as divergence.
        """
        self.model, self.round = base, 0
        self.facts: dict[str, float] = {}
        self._images, self._method, self._own = images, method, own
        self._params, self._pairs, self._path = params, pairs, path
        self._seed, self._scratch, self._guard = seed, scratch, guard

    def resume(self, model: nn.Module, round_: int) -> None:
        """Take up the model of a round that was trained with the same scratch folder before."""
        self.model, self.round = model, round_

    def train_round(self) -> Iterator[Step]:
        """Train the next round; once iterated to the end, `model`, `round` and `facts` are those of this round.

        Yields:
            The report of each optimizer step.

        Raises:
            ReflowbenchError: If the model has diverged, which making pairs or training may show. `model` and `round`
                stay those of the last round that was trained.
        """
        p, k = self._params, self.round + 1
        folder = self._folder(k)
        folder.mkdir(parents=True, exist_ok=True)
        stored = self._stored(k)
        carried = self._folder(self.round) / "carried"
        inputs = Inputs(
            seed=self._seed,
            round=k,
            batch=p.batch,
            steps=p.steps,
            images=self._images,
            pairs=self._pairs,
            clip=self._pairs.clip,
            synthetic=stored.get("synthetic"),
            inverted=stored.get("inverted"),
            carried=carried if carried.is_dir() else None,
            scratch=folder / "rebuilt",
        )
        network = copy.deepcopy(self.model).requires_grad_(True)
        one = Round(network, self._method, self._own, p, inputs, path=self._path, guard=self._guard)
        yield from one.trainer
        one.coupling.carry(folder / "carried")
        self.facts = one.facts()
        self.model, self.round = one.trainer.ema, k

    def _folder(self, k: int) -> Path:
        return self._scratch / f"round{k}"

    def _stored(self, k: int) -> dict[str, StoredHalf]:
        """The pairs that the method stores, by kind, made by the model that round k starts from."""
        stored: dict[str, StoredHalf] = {}
        for kind in self._method.stored:
            made = (
                synthetic_pairs(self.model, self._pairs, self._seed, k, self._images.dim)
                if kind == "synthetic"
                else inverted_pairs(self.model, self._images.images, self._pairs, self._seed, k)
            )
            write_pairs(self._folder(k) / kind, *made)
            stored[kind] = StoredHalf(self._folder(k) / kind)
        return stored
