"""Adam and AdamW without torch.optim's classes, which import torch's compiler at their first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim.adam import adam

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """torch's own fused Adam update (Kingma and Ba 2015) with its state; with a weight decay, that of AdamW.

    The update is `torch.optim.adam.adam`, so the weights are those of `torch.optim.Adam(fused=True)`
    (a test), or of `torch.optim.AdamW(fused=True)`, whose decay does not pass through the moments (Loshchilov and
    Hutter 2019). Their class imports torch._dynamo when it is first used: 2 s, in each of the many
    processes that train for a few seconds.
    """

    def __init__(self, weights: Sequence[torch.Tensor], weight_decay: float = 0.0) -> None:
        """Start with zero moments.

        Args:
            weights: The parameters to train; they must have gradients when `step` is called.
            weight_decay: Every step also takes so much of each weight, times the learning rate.
        """
        self._weight_decay = weight_decay
        self._weights: list[torch.Tensor] = list(weights)
        self._first = [torch.zeros_like(weight) for weight in weights]
        self._second = [torch.zeros_like(weight) for weight in weights]
        self._steps = [torch.zeros((), dtype=torch.float32, device=weight.device) for weight in weights]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The weights as torch's loss scaling asks an optimizer for them."""
        return [{"params": self._weights}]

    def state(self) -> dict[str, torch.Tensor]:
        """Moments and step counts, by name; the tensors are the optimizer's own."""
        groups = {"first": self._first, "second": self._second, "steps": self._steps}
        return {f"{name}.{i}": tensor for name, tensors in groups.items() for i, tensor in enumerate(tensors)}

    @torch.no_grad()
    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what `state` returned, of weights of the same shapes."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update the weights in place.

        Args:
            lr: Learning rate of this step.
        """
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        if len(gradients) < len(self._weights):
            raise RuntimeError("a weight has no gradient: it takes no part in the loss")
        adam(
            self._weights,
            gradients,
            self._first,
            self._second,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=lr,
            weight_decay=self._weight_decay,
            decoupled_weight_decay=self._weight_decay > 0,
            eps=EPSILON,
            maximize=False,
        )
