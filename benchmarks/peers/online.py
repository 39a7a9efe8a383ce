"""Network evaluations of OCAR, counted, and what replay does to quality."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.peers.networks import classifier, default, digits, params
from benchmarks.peers.turns import Comparison
from reflowbench.core.randomness import noise
from reflowbench.couplings.ocar import Ocar, OcarParams
from reflowbench.couplings.shared.base import Inputs, Networks
from reflowbench.data.blocks import in_blocks
from reflowbench.flow.solvers import solve
from reflowbench.metrics.frechet import FrechetDistance
from reflowbench.training.loop import Trainer

SEEDS, REPLAYS = (0, 1, 2), (1, 4, 8, 16, 64)
SCRIPTS = 2 * 99
"""Forward passes of the whole batch before each update, read off the authors' script: it makes twice what it uses."""


class Counted(nn.Module):
    """A network that counts the rows it evaluates outside of training."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.rows = network, 0

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Count, and pass on."""
        if not torch.is_grad_enabled():
            self.rows += len(x)
        velocity: torch.Tensor = self.network(x, t)
        return velocity


def rows(turns: int) -> Iterator[Comparison]:
    """Counts at the scripts' settings for each replay; quality after a round with ten steps in place of 99."""
    del turns  # counts are the same in each
    found = {replay: [_quality(seed, replay) for seed in SEEDS] for replay in REPLAYS}
    for replay in REPLAYS:
        spent = _spent(replay)
        distances = ", ".join(f"{value:.1f}" for value in found[replay])
        facts = {"unit": "NFE", "FD after a round with ten steps in place of 99, by seed": distances}
        what = f"OCAR update, 99 Euler steps, replay {replay}"
        yield Comparison(
            what, "the authors' script, by its code", [spent] * len(SEEDS), [float(SCRIPTS)] * len(SEEDS), facts
        )


def _coupling(seed: int, steps: int, replay: int) -> Ocar:
    (data, _), batch = digits(), params().round.batch
    own = OcarParams(real_fraction=0.5, source="raw", solver="euler", steps=steps, replay=replay, reassign=False)
    return Ocar(own, Inputs(seed, 1, batch, params().round.steps, data))


def _spent(replay: int) -> float:
    """Rows that the network evaluates for an update, over the batch, once the first batch is there."""
    network, coupling = Counted(default()), _coupling(0, 99, replay)
    networks = Networks(network, network, network, "float32")
    coupling.batch(0, networks)
    before, updates = network.rows, 2 * replay
    for step in range(1, updates + 1):
        coupling.batch(step, networks)
    return (network.rows - before) / updates / params().round.batch


def _quality(seed: int, replay: int) -> float:
    """Frechet distance at NFE 50, in features of the pipeline's classifier, after a round of OCAR."""
    (data, _), network = digits(), copy.deepcopy(default()).requires_grad_(True)
    trainer = Trainer(network, _coupling(seed, 10, replay), params().round, seed, 1, path="round")
    for _ in trainer:
        pass
    z = noise(seed, "evaluation", 0, range(1024), data.dim)
    made = torch.cat([solve(trainer.ema, block, "euler", 50)[:n] for block, n in in_blocks(z)])
    features = classifier().features
    return FrechetDistance(features(data.real))(features(data.quantize(made)))
