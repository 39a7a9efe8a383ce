"""The training loop that every method shares; only the coupling differs."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from reflowbench.core.optimizer import Adam
from reflowbench.core.randomness import generator
from reflowbench.couplings.shared.base import Coupling, Networks, Spent
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.times import draw_times
from reflowbench.runtime import sidecar
from reflowbench.runtime.artifacts import require_space
from reflowbench.runtime.distributed import world
from reflowbench.runtime.params import GuardParams, OptimParams
from reflowbench.runtime.resume import flat, part_of
from reflowbench.runtime.workspace import State
from reflowbench.training.average import decay
from reflowbench.training.gradient import Gradient
from reflowbench.training.guard import STOP, Step, fault, keep_batch


class Trainer:
    """Adam on the velocity loss with warm-up, clipping and a moving average.

    Iterating trains, on the device of the network; afterwards `ema` is the model and `facts` its cost. Each run starts
    with fresh optimizer state and with EMA = weights, as every Reflow round does. A run that diverges stops, or goes
    back and on at a lower learning rate if the guard allows it.
    """

    def __init__(
        self,
        network: nn.Module,
        coupling: Coupling,
        params: OptimParams,
        seed: int,
        round_: int,
        *,
        path: str,
        guard: GuardParams = STOP,
    ) -> None:
        """Prepare a run.

        Args:
            network: Weights to start from; trained in place.
            coupling: Where the batches come from.
            params: Length, optimizer and loss.
            seed: Seed of the chain.
            round_: Round number (0: base); with the seed it fixes the drawn times.
            path: Where `params` stand in the parameter file, such as `round`; errors name it.
            guard: What counts as divergence, and how often to go back.
        """
        self.ema = copy.deepcopy(network).eval().requires_grad_(False)
        start = copy.deepcopy(self.ema)
        self._network = network.train()
        self._networks = Networks(self._network, self.ema, start, params.precision)
        self._coupling = coupling
        self._params = params
        self._seed = seed
        self._round = round_
        self._path = path
        self._guard, self._restarts, self._lr_scale = guard, 0, 1.0
        self._good: State | None = None
        self._optimizer = Adam(list(network.parameters()), params.weight_decay)
        self._gradient = Gradient(self._network, self._optimizer, params, seed, round_)
        self._steps: list[Step] = []

    def __len__(self) -> int:
        """Number of steps."""
        return self._params.steps

    @property
    def done(self) -> int:
        """Steps that were taken."""
        return len(self._steps)

    @property
    def steps(self) -> Sequence[Step]:
        """Reports of the steps that were taken."""
        return self._steps

    def __iter__(self) -> Iterator[Step]:
        """Take the steps that are left, yielding after each.

        Yields:
            The step's report.

        Raises:
            ReflowbenchError: If the run diverges, or the disk is too small for what it will write.
        """
        weights, averages = list(self._network.parameters()), list(self.ema.parameters())
        size = sum(weight.numel() * weight.element_size() for weight in weights)
        # Weights, average and two moments, twice while one state replaces another; and the model.
        require_space(sidecar.folder(), 9 * size, "the model and what is saved on the way")
        while (number := len(self._steps)) < self._params.steps:
            if self._guard.restarts and number % self._guard.every == 0:
                self._good = _copied(self._state())
            x0, x1 = self._coupling.batch(number, self._networks)
            t = draw_times(self._params.times, len(x0), generator(self._seed, "times", self._round, number))
            loss = self._gradient(x0, x1, t, number)
            norm = nn.utils.clip_grad_norm_(weights, self._params.clip)
            step = Step(number, loss, norm.item(), self._params.lr * self._lr_scale * self._lr_factor(number))
            if reason := fault(step, self._steps, self._guard):
                self._go_back(step, reason, {"x0": x0, "x1": x1, "t": t})
                continue
            self._optimizer.step(step.learning_rate)
            update_average = get_ema_multi_avg_fn(decay(self._params, number))  # type: ignore[no-untyped-call]
            update_average(averages, weights, 0)
            self._steps.append(step)
            yield step
        if not all(torch.isfinite(tensor).all() for tensor in (*weights, *averages)):  # no step comes that would see it
            raise ReflowbenchError(
                f"training diverged in round {self._round} at its last step (weights that are not finite); none were "
                f"written: lower {self._path}.lr or {self._path}.clip"
            )
        self._coupling.finish(self._networks)

    def _go_back(self, step: Step, reason: str, batch: Mapping[str, torch.Tensor]) -> None:
        """Return to the last good state at a lower learning rate, or stop if there is none or it was done enough."""
        what = f"training diverged in round {self._round} at step {step.number} ({reason})"
        kept = keep_batch(step, batch) if world().first else ""
        if self._good is None or self._restarts >= self._guard.restarts:
            raise ReflowbenchError(
                f"{what}; no weights were written: lower {self._path}.lr or {self._path}.clip, or let it go back by "
                f"itself (guard.restarts).{kept}"
            )
        restarts = self._restarts + 1
        self._restore(*self._good)
        self._restarts, self._lr_scale = restarts, self._guard.lr_factor**restarts
        print(
            f"WARNING: {what}; goes on from step {self.done} at {self._lr_scale:g} times the learning rate.{kept}",
            file=sys.stderr,
        )

    def state(self) -> State:
        """All that the rest of the run depends on, besides what the trainer was made from."""
        tensors, facts = self._state()
        if self._good is None:
            return tensors, facts
        good, good_facts = self._good
        return tensors | flat({"good": good}), facts | {"good": good_facts}

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self._restore(tensors, facts)
        self._good = (part_of(tensors, "good"), facts["good"]) if "good" in facts else None

    def _state(self) -> State:
        tensors = flat(
            {
                "weights": self._network.state_dict(),
                "ema": self.ema.state_dict(),
                "optimizer": self._optimizer.state(),
                "coupling": self._coupling.state(),
            }
        )
        steps = [(step.loss, step.gradient_norm, step.learning_rate) for step in self._steps]
        tensors["steps"] = torch.tensor(steps, dtype=torch.float64).reshape(-1, 3)
        tensors["random"] = torch.get_rng_state()  # for what draws without a counter; nothing of ours does
        return tensors, {"restarts": self._restarts, "lr_scale": self._lr_scale, "scaler": self._gradient.state()}

    def _restore(self, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
        self._network.load_state_dict(part_of(tensors, "weights"))
        self.ema.load_state_dict(part_of(tensors, "ema"))
        self._optimizer.restore(part_of(tensors, "optimizer"))
        self._coupling.restore(part_of(tensors, "coupling"))
        self._steps = [Step(number, *values) for number, values in enumerate(tensors["steps"].tolist())]
        torch.set_rng_state(tensors["random"])
        self._restarts, self._lr_scale = facts["restarts"], facts["lr_scale"]
        self._gradient.restore(facts["scaler"])

    def _lr_factor(self, number: int) -> float:
        """Linear warm-up, then constant or half a cosine down to `lr_end`."""
        warm = min(1.0, (number + 1) / max(1, self._params.warmup))
        if self._params.schedule == "cosine":
            end = self._params.lr_end / self._params.lr
            warm *= end + (1 - end) * (1 + math.cos(math.pi * number / self._params.steps)) / 2
        return warm

    def facts(self, stored: Spent | None = None) -> dict[str, float]:
        """Sum up the run: what it cost and how it ended.

        Args:
            stored: Network evaluations that the stored pairs cost before the run.

        Returns:
            updates; final_loss (mean over the last tenth of them); mean_gradient_norm (before clipping);
            and network evaluations counted in samples: train_evaluations (each is a forward and a
            backward pass), forward_evaluations (from noise to image) and inversion_evaluations (from
            image to noise). Of a run that went back also restarts and lr_scale, the factor of the learning rate
            at its end.
        """
        stored, online = stored or Spent(), self._coupling.spent
        losses = [step.loss for step in self._steps]
        tail = losses[-max(1, len(losses) // 10) :]
        went_back = {"restarts": self._restarts, "lr_scale": self._lr_scale} if self._restarts else {}
        return {
            "updates": len(losses),
            "final_loss": sum(tail) / len(tail),
            "mean_gradient_norm": sum(step.gradient_norm for step in self._steps) / len(losses),
            "train_evaluations": len(losses) * self._params.batch,
            "forward_evaluations": stored.forward + online.forward,
            "inversion_evaluations": stored.inversion + online.inversion,
            **went_back,
        }


def _copied(state: State) -> State:
    tensors, facts = state
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}, dict(facts)
