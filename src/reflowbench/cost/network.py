"""What one pass through a network costs, counted on a copy without memory (torch's `meta` device)."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from reflowbench.flow.loss import velocity_loss
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.networks import registry
from reflowbench.networks.base import Shape
from reflowbench.runtime.params import ConvParams, FeaturesParams, NetworkParams, OptimParams

BYTES = 4
"""Of a float32."""
COPIES = 6
"""Tensors of the weights' size while a model trains: weights, gradients, Adam's two moments, EMA, the round's start."""


@dataclass(frozen=True)
class Pass:
    """One pass through a network.

    Attributes:
        flops: Floating-point operations, a multiplication and an addition being two.
        activations: Bytes of float32 that are kept for the backward pass; without one, the most that is held at a time.
    """

    flops: int
    activations: int


class VelocityCost:
    """Counts a velocity network."""

    def __init__(self, params: NetworkParams, shape: Shape) -> None:
        """Build the network without memory.

        Args:
            params: Which network and how large.
            shape: (channels, height, width) of the images.
        """
        self._dim = math.prod(shape)
        if isinstance(params, ConvParams):
            params = params.model_copy(update={"compile": False})  # it computes the same
        with torch.device("meta"):
            self._network = registry.build(params, shape, seed=0)
        # Each is counted once: the ablations ask for the same ones again and again.
        self._known: dict[tuple[object, ...], Pass] = {}
        self.parameters = sum(weight.numel() for weight in self._network.parameters())
        self.weight_bytes = _bytes(self._network)

    def training(self, params: OptimParams) -> Pass:
        """A forward and a backward pass of one batch.

        Args:
            params: Its size, that of a micro-batch, and the loss.

        Returns:
            Its cost, without the optimizer's few operations per weight.
        """
        rows = min(params.microbatch or params.batch, params.batch)
        whole, rest = divmod(params.batch, rows)
        one = self._training(rows, params)
        flops = whole * one.flops + (self._training(rest, params).flops if rest else 0)
        return Pass(flops, one.activations)

    def _training(self, rows: int, params: OptimParams) -> Pass:
        x0, x1, t = (torch.empty(shape, device="meta") for shape in (*[(rows, self._dim)] * 2, (rows,)))

        def work() -> None:
            velocity_loss(self._network.train(), x0, x1, t, params.loss).backward()  # type: ignore[no-untyped-call]

        return self._once(("training", rows, params.loss), lambda: _count(self._network, work))

    def sampling(self, rows: int, own_times: bool = False) -> Pass:
        """A forward pass.

        Args:
            rows: Images in it.
            own_times: Whether each row has its own time; solvers have one for all, unless rows go different ways.

        Returns:
            Its cost.
        """
        x, t = (torch.empty(shape, device="meta") for shape in ((rows, self._dim), (rows if own_times else 1,)))

        def count() -> Pass:
            with torch.no_grad(), _Held() as held, FlopCounterMode(display=False) as counter:
                self._network.eval()(x, t)
            return Pass(counter.get_total_flops(), held.most)

        return self._once(("sampling", rows, own_times), count)

    def _once(self, key: tuple[object, ...], count: Callable[[], Pass]) -> Pass:
        if key not in self._known:
            self._known[key] = count()
        return self._known[key]


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the bytes of all tensors that are made and not yet dropped.

    Attributes:
        most: The most that were held at a time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and take note of what it makes."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size


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
