"""The paper's U-Net on a GPU: pairs, inversions and training steps, against torchcfm as its scripts run it.

The peer has torch as it comes: TF32 in convolutions, and kernels that sum in whatever order. Ours has what `device()`
asks for, the same bytes in every run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from benchmarks.peers import pairs, training
from benchmarks.peers.turns import Comparison
from reflowbench.core.device import device

SDP = ("flash", "mem_efficient", "cudnn")


@contextlib.contextmanager
def as_torch_comes() -> Iterator[None]:
    """With the settings that torch has in a new process; ours again afterwards."""
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = True
    for kind in SDP:
        getattr(torch.backends.cuda, f"enable_{kind}_sdp")(True)
    try:
        yield
    finally:
        device()  # sets all of them


def rows(turns: int) -> Iterator[Comparison]:
    """Pairs and inversions in batches of 512, training steps of 128 as in the paper."""
    where = device()
    yield from pairs.papers_rows(turns, where, n=512, steps=10, settings=as_torch_comes, compiled=True)
    yield from training.papers_rows(turns, where, batch=128, steps=10, settings=as_torch_comes, compiled=True)
