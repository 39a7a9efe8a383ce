"""Where the time of a training step of the default network goes: each part by itself, and the whole."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from statistics import median

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from benchmarks.peers.networks import digits, fresh, params, trainer_of
from benchmarks.peers.turns import in_turn
from reflowbench.core.optimizer import Adam
from reflowbench.core.randomness import generator, noise
from reflowbench.couplings.shared.base import Inputs
from reflowbench.flow.times import draw_times
from reflowbench.training.gradient import Gradient

STEPS = 20
THREADS = 1
"""As a stage of the default pipeline has."""


def rows(turns: int) -> Iterator[dict[str, object]]:
    """Milliseconds of a step for each part; what is left is the loop with its checks and reports."""
    (data, _), base, network = digits(), params().base, fresh(0).train()
    optimizer, average = Adam(list(network.parameters())), copy.deepcopy(network)
    weights, averages = list(network.parameters()), list(average.parameters())
    gradient = Gradient(network, optimizer, base, 0, 0)
    inputs = Inputs(0, 0, base.batch, base.steps, data)
    x0, x1 = noise(0, "base noise", 0, range(base.batch), data.dim), data.images[inputs.draw_real(0, base.batch)]
    t = draw_times(base.times, base.batch, generator(0, "times", 0, 0))
    gradient(x0, x1, t, 0)
    _, whole = trainer_of(fresh(0), data, base, 0)
    step = iter(range(10**6))

    def draws() -> None:
        for _ in range(STEPS):
            number = next(step)
            noise(0, "base noise", 0, range(number * base.batch, (number + 1) * base.batch), data.dim)
            data.images[inputs.draw_real(number, base.batch)]
            draw_times(base.times, base.batch, generator(0, "times", 0, number))

    work = {
        "batch: noise, images, times": draws,
        "network: forward and backward pass": lambda: [gradient(x0, x1, t, 0) for _ in range(STEPS)],
        "clipping": lambda: [nn.utils.clip_grad_norm_(weights, 1e9) for _ in range(STEPS)],
        "Adam": lambda: [optimizer.step(0.0) for _ in range(STEPS)],
        "moving average": lambda: [get_ema_multi_avg_fn(0.99)(averages, weights, 0) for _ in range(STEPS)],
        "the whole step": lambda: whole(STEPS),
    }
    taken = {name: 1e3 * median(values) / STEPS for name, values in in_turn(work, 2 * turns).items()}
    total = taken["the whole step"]
    for name, value in taken.items():
        yield {"part": name, "milliseconds": value, "share": value / total}
