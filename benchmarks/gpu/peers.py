"""The paper's U-Net on a GPU: pairs, inversions and training steps, against torchcfm as its scripts run it.

The peer has torch as it comes: TF32 in convolutions, and kernels that sum in whatever order. Ours has what `device()`
asks for, the same bytes in every run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks.peers import pairs, training
from benchmarks.peers.turns import Comparison
from benchmarks.timing import take_torchs_settings
from reflowbench.runtime.device import device


@contextlib.contextmanager
def as_torch_comes() -> Iterator[None]:
    """With the settings that torch has in a new process; ours again afterwards."""
    take_torchs_settings()
    try:
        yield
    finally:
        device()  # sets all of them


def rows(turns: int) -> Iterator[Comparison]:
    """Pairs and inversions in batches of 512, training steps of 128 as in the paper."""
    where = device()
    yield from pairs.papers_rows(turns, where, n=512, steps=10, settings=as_torch_comes, compiled=True)
    yield from training.papers_rows(turns, where, batch=128, steps=10, settings=as_torch_comes, compiled=True)
