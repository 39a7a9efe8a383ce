"""The gradient of a batch: in one pass or several, in full or half precision."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from reflowbench.core.optimizer import Adam
from reflowbench.core.randomness import generator
from reflowbench.flow.field import device_of
from reflowbench.flow.loss import velocity_loss
from reflowbench.runtime.device import autocast
from reflowbench.runtime.distributed import world
from reflowbench.runtime.params import OptimParams

_LEAST_SCALE = 1.0


class Gradient:
    """Puts the gradient of the velocity loss into the weights.

    With micro-batches the parts' gradients are summed, so that memory is that of a part and the gradient that of the
    whole batch, up to rounding. In fp16 the loss is scaled up so that small gradients do not vanish
    (torch.amp.GradScaler); a pass whose gradients overflow is repeated at half the scale, with the same batch, so that
    the number of updates is what the parameters say.

    Of several processes each takes some rows of the batch, and the sum over them is what all put into their weights:
    the same bits in all, and the gradient of the whole batch up to rounding.

    Randomness of the network itself (dropout) follows from the step, and leaves torch's own as it was.
    """

    def __init__(self, network: nn.Module, optimizer: Adam, params: OptimParams, seed: int, round_: int) -> None:
        """Prepare.

        Args:
            network: Whose weights; in training mode.
            optimizer: That of its weights.
            params: Loss, size of a micro-batch, and precision.
            seed: Seed of the chain.
            round_: Round number.
        """
        self._seed, self._round, self._world = seed, round_, world()
        self._network, self._optimizer, self._params = network, optimizer, params
        self._where = device_of(network, torch.device("cpu"))
        self._scaler = torch.amp.GradScaler(self._where.type) if params.precision == "fp16" else None
        self._draws = any(isinstance(module, nn.Dropout) and module.p for module in network.modules())

    def __call__(self, x0: torch.Tensor, x1: torch.Tensor, t: torch.Tensor, step: int) -> float:
        """Compute the gradient.

        Args:
            x0: Noise, shape (n, dim).
            x1: Data, shape (n, dim).
            t: Times, shape (n,).
            step: Optimizer step.

        Returns:
            The loss. The gradients need not be finite.
        """
        batch, own = len(x0), self._world.share(len(x0))
        x0, x1, t = (values[own].to(self._where) for values in (x0, x1, t))
        while True:
            if not self._draws:
                loss = self._backward(x0, x1, t, batch)
            else:
                with torch.random.fork_rng(devices=[self._where] if self._where.type == "cuda" else []):
                    purpose = f"dropout {self._world.rank}" if self._world.rank else "dropout"
                    torch.manual_seed(generator(self._seed, purpose, self._round, step).initial_seed())
                    loss = self._backward(x0, x1, t, batch)
            if self._scaler is None or not self._overflows(self._scaler) or not math.isfinite(loss):
                return loss

    def _backward(self, x0: torch.Tensor, x1: torch.Tensor, t: torch.Tensor, batch: int) -> float:
        self._optimizer.zero_grad()
        size = self._params.microbatch or max(1, len(x0))
        total: torch.Tensor | None = None
        for start in range(0, len(x0), size):
            part = slice(start, start + size)
            with autocast(self._where, self._params.precision):
                loss = velocity_loss(self._network, x0[part], x1[part], t[part], self._params.loss)
            if len(x0[part]) < batch:
                loss = loss * (len(x0[part]) / batch)
            scaled = self._scaler.scale(loss) if self._scaler else loss
            scaled.backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
        if self._scaler and total is None:  # a process without rows; it must know the scale too
            self._scaler.scale(torch.zeros((), device=self._where))
        return self._added(total)

    def _added(self, loss: torch.Tensor | None) -> float:
        """Add up gradients and losses of all processes; one without rows has none."""
        if self._world.size > 1:
            loss = torch.zeros((), device=self._where) if loss is None else loss
            weights = list(self._network.parameters())
            for weight in weights:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            self._world.add([*(weight.grad for weight in weights if weight.grad is not None), loss])
        return math.nan if loss is None else loss.item()

    def _overflows(self, scaler: torch.amp.GradScaler) -> bool:
        """Take the scale out of the gradients, and say whether that failed and is to be tried at the lower scale."""
        before = scaler.get_scale()
        scaler.unscale_(self._optimizer)  # type: ignore[arg-type]
        scaler.update()
        return _LEAST_SCALE <= scaler.get_scale() < before

    def state(self) -> dict[str, Any]:
        """The scale and what it depends on; empty without one."""
        return self._scaler.state_dict() if self._scaler else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        if self._scaler:
            self._scaler.load_state_dict(state)
