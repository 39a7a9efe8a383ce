"""Training steps, against a loop of torchcfm's matcher and torch's optimizer as its CIFAR-10 script has it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from torch import nn
from torchcfm.conditional_flow_matching import ConditionalFlowMatcher

from benchmarks.peers.networks import PIXELS, Call, digits, fresh, papers, params, torchcfms, trainer_of
from benchmarks.peers.turns import Comparison, Settings, in_turn, numbers_of_threads
from reflowbench.core.schemes import Precision
from reflowbench.data.images import ImageSet
from reflowbench.data.packed import PackedImages
from reflowbench.runtime.params import OptimParams

PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
SEEDS, STEPS, CHUNK = (0, 1, 2), 600, 50


class Script:
    """The peer's loop: zero the gradients, match, clip, Adam, schedule, average all tensors of the state one by one."""

    def __init__(self, network: nn.Module, call: Call, images: torch.Tensor, optim: OptimParams) -> None:
        self.network, self._call, self._images, self._params = network.train(), call, images, optim
        self._average = copy.deepcopy(network)
        self._optimizer = torch.optim.Adam(network.parameters(), lr=optim.lr)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: min(step, optim.warmup) / max(1, optim.warmup)
        )
        self._matcher = ConditionalFlowMatcher(sigma=0.0)
        self.losses: list[float] = []

    def steps(self, count: int) -> None:
        """Take so many."""
        for _ in range(count):
            self._optimizer.zero_grad()
            x1 = self._images[torch.randint(len(self._images), (self._params.batch,))]
            t, x, u = self._matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1)
            loss = (self._call(x, t) - u).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self._params.clip)
            self._optimizer.step()
            self._schedule.step()
            with torch.no_grad():
                for average, value in zip(
                    self._average.state_dict().values(), self.network.state_dict().values(), strict=True
                ):
                    average.copy_(average * self._params.ema + value * (1 - self._params.ema))
            self.losses.append(loss.item())


def rows(turns: int) -> Iterator[Comparison]:
    """The default network with three seeds, so long that losses can be compared; the paper's, for some steps."""
    for threads in numbers_of_threads():
        yield from _default(threads)
    yield from papers_rows(turns, torch.device("cpu"), batch=8, steps=2)


def _default(threads: str) -> Iterator[Comparison]:
    (data, _), base = digits(), params().base
    optim = base.model_copy(update={"steps": STEPS + CHUNK, "schedule": "constant"})
    taken: dict[str, list[float]] = {}
    losses: dict[str, list[float]] = {}
    for seed in SEEDS:
        torch.manual_seed(seed)
        script = fresh(seed)
        peer = Script(script, script, data.images[torch.arange(len(data))], optim)
        own = {
            precision: trainer_of(fresh(seed), data, optim.model_copy(update={"precision": precision}), seed)
            for precision in PRECISIONS
        }
        work = {"peer": lambda peer=peer: peer.steps(CHUNK)}
        work |= {precision: lambda steps=steps: steps(CHUNK) for precision, (_, steps) in own.items()}
        for name, spent in in_turn(work, STEPS // CHUNK).items():
            taken.setdefault(name, []).extend(spent)
        ends = {"peer": peer.losses} | {name: [step.loss for step in run.steps] for name, (run, _) in own.items()}
        for name, values in ends.items():
            losses.setdefault(name, []).append(sum(values[-100:]) / 100)
    for precision in PRECISIONS:
        facts = {
            f"mean loss of the last 100 of {STEPS + CHUNK} steps, by seed": _listed(losses[precision]),
            "the peer's": _listed(losses["peer"]),
        }
        what = f"{CHUNK} steps of {optim.batch}, default network, {precision}, {threads}"
        yield Comparison(what, "torchcfm's matcher, torch's Adam, float32", taken[precision], taken["peer"], facts)


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def papers_rows(
    turns: int, where: torch.device, batch: int, steps: int, settings: Settings = nullcontext, compiled: bool = False
) -> Iterator[Comparison]:
    """Steps of the paper's U-Net on a device, compiled too if asked for; `settings` are the peer's."""
    levels = torch.randint(0, 256, (256, 3 * 32 * 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = ImageSet(PackedImages(levels, 256), torch.zeros(256, dtype=torch.long), PIXELS, 256, False)
    optim = params().base.model_copy(update={"batch": batch, "lr": 2e-4, "steps": steps * (turns + 2), "ema": 0.9999})
    theirs = torchcfms().to(where)
    images = data.images[torch.arange(256)].reshape(-1, *PIXELS).to(where)
    peer = Script(theirs, lambda x, t: theirs(t, x), images, optim)
    ours: dict[str, tuple[Precision, bool]] = {precision: (precision, False) for precision in PRECISIONS}
    if compiled:
        ours["bf16, compiled"] = ("bf16", True)

    def theirs_steps() -> None:
        with settings():
            peer.steps(steps)

    work: dict[str, Callable[[], object]] = {"peer": theirs_steps}
    for name, (precision, compile_) in ours.items():
        network = papers(compile=compile_).to(where)
        _, take = trainer_of(network, data, optim.model_copy(update={"precision": precision}), 0)
        work[name] = lambda take=take: take(steps)
    taken = in_turn(work, turns)
    for name in ours:
        what = f"{steps} steps of {optim.batch}, the paper's U-Net, {name}"
        yield Comparison(what, "the same loop, torchcfm's U-Net, float32", taken[name], taken["peer"])
