"""A Reflow step, against rectified-flow-pytorch: it solves the flow anew for every batch, by its midpoint rule.

Its class `Reflow` does not run as released (`device` is a method, read as a value), so that its three lines are
written out here on its `RectifiedFlow`, which does all of the work.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from ema_pytorch import EMA
from rectified_flow_pytorch import RectifiedFlow
from torch import nn

from benchmarks.peers.networks import default, digits, params
from benchmarks.peers.turns import Comparison, in_turn
from reflowbench.couplings.ocar import Ocar, OcarParams
from reflowbench.couplings.reflow import Reflow, ReflowParams
from reflowbench.couplings.shared.base import Coupling, Inputs
from reflowbench.pairs.generate import synthetic_pairs
from reflowbench.pairs.store import StoredHalf, write_pairs
from reflowbench.runtime.artifacts import SCRATCH
from reflowbench.runtime.params import PairsParams
from reflowbench.training.loop import Trainer

GRID, UPDATES = 16, 100
"""Times of its solver by default, 15 steps of two evaluations; updates in a turn."""


class _TimesByName(nn.Module):
    """A network as it is called there."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        velocity: torch.Tensor = self.network(x, times)
        return velocity


def rows(turns: int) -> Iterator[Comparison]:
    """Reflow with pairs made once, and with pairs made anew at every update as there."""
    (data, _), optim = digits(), params().round.model_copy(update={"steps": UPDATES, "schedule": "constant"})
    peer = RectifiedFlow(
        _TimesByName(copy.deepcopy(default()).requires_grad_(True)),
        data_shape=(data.dim,),
        data_normalize_fn=nn.Identity(),
        data_unnormalize_fn=nn.Identity(),
    )
    frozen = copy.deepcopy(peer).requires_grad_(False)
    average, optimizer = EMA(peer, beta=optim.ema), torch.optim.Adam(peer.parameters(), lr=optim.lr)

    def theirs() -> None:
        for _ in range(UPDATES):
            z = torch.randn(optim.batch, data.dim)
            loss = peer(frozen.sample(noise=z, steps=GRID), noise=z)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            average.update()

    def train(coupling: Coupling) -> None:
        for _ in Trainer(copy.deepcopy(default()).requires_grad_(True), coupling, optim, 0, 1, path="round"):
            pass

    def once() -> None:
        made = PairsParams(n=params().pairs.n, solver="heun", steps=GRID - 1)
        with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
            write_pairs(Path(folder) / "pairs", *synthetic_pairs(default(), made, 0, 1, data.dim))
            stored = StoredHalf(Path(folder) / "pairs")
            train(Reflow(ReflowParams(), Inputs(0, 1, optim.batch, UPDATES, data, synthetic=stored)))

    def anew() -> None:
        own = OcarParams(real_fraction=0, source="round_start", solver="heun", steps=GRID - 1, replay=1, reassign=False)
        train(Ocar(own, Inputs(0, 1, optim.batch, UPDATES, data)))

    SCRATCH.mkdir(exist_ok=True)
    taken = in_turn({"peer": theirs, "once": once, "anew": anew}, turns)
    name = "rectified-flow-pytorch, pairs made anew"
    yield Comparison(f"{UPDATES} Reflow updates, pairs made once for them", name, taken["once"], taken["peer"])
    yield Comparison(f"{UPDATES} Reflow updates, pairs made anew", name, taken["anew"], taken["peer"])
