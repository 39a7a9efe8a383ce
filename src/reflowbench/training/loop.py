"""The training loop that every method shares; only the coupling differs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.flow.loss import velocity_loss
from reflowbench.core.flow.times import draw_times
from reflowbench.core.optimizer import Adam
from reflowbench.core.params import OptimParams
from reflowbench.core.randomness import generator
from reflowbench.couplings.shared.base import Coupling, Networks, Spent


@dataclass(frozen=True)
class Step:
    """What one optimizer step reports.

    Attributes:
        number: Step, from 0.
        loss: Batch loss before the update.
        gradient_norm: Norm of the gradient before clipping.
        learning_rate: Of the update.
    """

    number: int
    loss: float
    gradient_norm: float
    learning_rate: float


class Trainer:
    """Adam on the velocity loss with warm-up, clipping and an exponential moving average.

    Iterating trains; afterwards `ema` is the model and `facts` its cost. Each run starts with fresh
    optimizer state and with EMA = weights, as every Reflow round does.
    """

    def __init__(
        self, network: nn.Module, coupling: Coupling, params: OptimParams, seed: int, round_: int, *, path: str
    ) -> None:
        """Prepare a run.

        Args:
            network: Weights to start from; trained in place.
            coupling: Where the batches come from.
            params: Length, optimizer and loss.
            seed: Seed of the chain.
            round_: Round number (0: base); with the seed it fixes the drawn times.
            path: Where `params` stand in the parameter file, such as `round`; errors name it.
        """
        self.ema = copy.deepcopy(network).eval().requires_grad_(False)
        start = copy.deepcopy(self.ema)
        self._network = network.train()
        self._networks = Networks(self._network, self.ema, start)
        self._coupling = coupling
        self._params = params
        self._seed = seed
        self._round = round_
        self._path = path
        self._steps: list[Step] = []

    def __len__(self) -> int:
        """Number of steps."""
        return self._params.steps

    def __iter__(self) -> Iterator[Step]:
        """Train, yielding after each step.

        Yields:
            The step's report.

        Raises:
            ReflowbenchError: If loss or gradient stop being finite.
        """
        weights, averages = list(self._network.parameters()), list(self.ema.parameters())
        optimizer = Adam(weights)
        update_average = get_ema_multi_avg_fn(self._params.ema)  # type: ignore[no-untyped-call]
        for number in range(self._params.steps):
            loss = self._loss(number)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(weights, self._params.clip)
            step = Step(number, loss.item(), norm.item(), self._params.lr * self._lr_factor(number))
            if not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm)):
                raise ReflowbenchError(
                    f"training diverged in round {self._round} at step {number} (loss {step.loss}, gradient norm "
                    f"{step.gradient_norm}); no weights were written: lower {self._path}.lr or {self._path}.clip"
                )
            optimizer.step(step.learning_rate)
            update_average(averages, weights, 0)
            self._steps.append(step)
            yield step
        self._coupling.finish(self._networks)

    def _loss(self, number: int) -> torch.Tensor:
        x0, x1 = self._coupling.batch(number, self._networks)
        t = draw_times(self._params.times, len(x0), generator(self._seed, "times", self._round, number))
        return velocity_loss(self._network, x0, x1, t, self._params.loss)

    def _lr_factor(self, number: int) -> float:
        """Linear warm-up, then constant or half a cosine."""
        warm = min(1.0, (number + 1) / max(1, self._params.warmup))
        if self._params.schedule == "cosine":
            warm *= (1 + math.cos(math.pi * number / self._params.steps)) / 2
        return warm

    def facts(self, stored: Spent | None = None) -> dict[str, float]:
        """Sum up the run: what it cost and how it ended.

        Args:
            stored: Network evaluations that the stored pairs cost before the run.

        Returns:
            updates; final_loss (mean over the last tenth of them); mean_gradient_norm (before clipping);
            and network evaluations counted in samples: train_evaluations (each is a forward and a
            backward pass), forward_evaluations (from noise to image) and inversion_evaluations (from
            image to noise).
        """
        stored, online = stored or Spent(), self._coupling.spent
        losses = [step.loss for step in self._steps]
        tail = losses[-max(1, len(losses) // 10) :]
        return {
            "updates": len(losses),
            "final_loss": sum(tail) / len(tail),
            "mean_gradient_norm": sum(step.gradient_norm for step in self._steps) / len(losses),
            "train_evaluations": len(losses) * self._params.batch,
            "forward_evaluations": stored.forward + online.forward,
            "inversion_evaluations": stored.inversion + online.inversion,
        }
