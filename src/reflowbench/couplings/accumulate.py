"""Accumulate: the synthetic pairs of all rounds so far (Gerstgrasser et al. 2024, arXiv 2404.01413)."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from reflowbench.couplings.shared.base import Coupling, Inputs, Networks, Pairs
from reflowbench.couplings.shared.method import Method
from reflowbench.pairs.store import StoredHalf, synthetic_noise
from reflowbench.runtime.params import Group


class AccumulateParams(Group):
    """`accumulate` has no parameter of its own."""


class Accumulate(Coupling):
    """Pairs drawn uniformly from those of this and all earlier rounds.

    Each round leaves the pair folders it trained on to the next one, inside its model folder; DVC's
    cache keeps equal shards once.
    """

    def __init__(self, params: AccumulateParams, inputs: Inputs) -> None:
        super().__init__()
        self._inputs = inputs
        earlier = sorted(inputs.carried.glob("round-*")) if inputs.carried else []
        self._folders = [*earlier, inputs.stored("synthetic").folder]
        self._rounds = [StoredHalf(folder) for folder in self._folders]

    def batch(self, step: int, networks: Networks) -> Pairs:
        """See `Coupling.batch`."""
        r = self._inputs
        rows = r.draw("synthetic rows", step, sum(map(len, self._rounds)), r.batch)
        x0, x1 = torch.empty(r.batch, r.images.dim), torch.empty(r.batch, r.images.dim)
        start = 0
        for pairs in self._rounds:
            here = (rows >= start) & (rows < start + len(pairs))
            index = rows[here] - start
            x0[here] = synthetic_noise(r.seed, pairs.manifest.round, index.tolist(), r.images.dim)
            x1[here] = pairs.rows(index)
            start += len(pairs)
        return x0, x1

    def carry(self, folder: Path) -> None:
        """See `Coupling.carry`: all pair folders."""
        for source, pairs in zip(self._folders, self._rounds, strict=True):
            shutil.copytree(source, folder / f"round-{pairs.manifest.round:03d}")


METHOD = Method(AccumulateParams, Accumulate, stored=frozenset({"synthetic"}))
