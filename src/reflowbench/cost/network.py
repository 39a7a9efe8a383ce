"""What one pass through a network costs, counted on a copy without memory (torch's `meta` device)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reflowbench.core.flow.loss import velocity_loss
from reflowbench.core.networks import registry
from reflowbench.core.params import FeaturesParams, NetworkParams, OptimParams
from reflowbench.metrics.features.classifier import Classifier

BYTES = 4
"""Of a float32."""
COPIES = 6
"""Tensors of the weights' size while a model trains: weights, gradients, Adam's two moments, EMA, the round's start."""


@dataclass(frozen=True)
class Pass:
    """One pass through a network.

    Attributes:
        flops: Floating-point operations, a multiplication and an addition being two.
        activations: Bytes that are kept for the backward pass; at least what a forward pass alone needs at once.
    """

    flops: int
    activations: int


class VelocityCost:
    """Counts a velocity network."""

    def __init__(self, params: NetworkParams, dim: int) -> None:
        """Build the network without memory.

        Args:
            params: Which network and how large.
            dim: Values per image.
        """
        self._dim = dim
        with torch.device("meta"):
            self._network = registry.build(params, dim, seed=0)
        # Each is counted once: a study asks for the same ones again and again.
        self._known: dict[tuple[object, ...], Pass] = {}
        self.parameters = sum(weight.numel() for weight in self._network.parameters())
        self.weight_bytes = _bytes(self._network)

    def training(self, params: OptimParams) -> Pass:
        """A forward and a backward pass of one batch.

        Args:
            params: Its size, and the loss.

        Returns:
            Its cost, without the optimizer's few operations per weight.
        """
        x0, x1, t = (torch.empty(shape, device="meta") for shape in (*[(params.batch, self._dim)] * 2, (params.batch,)))

        def work() -> None:
            velocity_loss(self._network, x0, x1, t, params.loss).backward()  # type: ignore[no-untyped-call]

        return self._once(("training", params.batch, params.loss), work)

    def sampling(self, rows: int, own_times: bool = False) -> Pass:
        """A forward pass.

        Args:
            rows: Images in it.
            own_times: Whether each row has its own time; solvers have one for all, unless rows go different ways.

        Returns:
            Its cost.
        """
        x, t = (torch.empty(shape, device="meta") for shape in ((rows, self._dim), (rows if own_times else 1,)))
        return self._once(("sampling", rows, own_times), lambda: self._network(x, t))

    def _once(self, key: tuple[object, ...], work: Callable[[], Any]) -> Pass:
        if key not in self._known:
            self._known[key] = _count(self._network, work)
        return self._known[key]


def classifier_training(params: FeaturesParams, shape: tuple[int, int, int], classes: int) -> tuple[Pass, int]:
    """A forward and a backward pass of the classifier for one batch, and the bytes of its weights."""
    channels, height, width = shape
    with torch.device("meta"):
        network = Classifier(shape, classes, params.dim)
        images, labels = torch.empty(params.batch, channels * height * width), torch.empty(params.batch).long()

    def work() -> None:
        nn.functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]

    return _count(network, work), _bytes(network)


def _bytes(network: nn.Module) -> int:
    """Size of what a file of the weights holds."""
    return int(sum(value.nbytes for value in network.state_dict().values()))


def _count(network: nn.Module, work: Callable[[], Any]) -> Pass:
    """Run some work that changes nothing but gradients, and count it."""
    weights = [weight.untyped_storage() for weight in network.parameters()]
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[id(storage)] = storage  # held, so that no other one gets its id
        return tensor

    network.zero_grad()
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, FlopCounterMode(display=False) as counter:
        work()
    own = {id(storage) for storage in weights}
    activations = sum(storage.nbytes() for key, storage in kept.items() if key not in own)
    return Pass(counter.get_total_flops(), activations)
