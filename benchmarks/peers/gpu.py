"""The paper's U-Net on a GPU: pairs, inversions and training steps, against torchcfm as its scripts run it.

The peer has torch as it comes: TF32 in convolutions, and kernels that sum in whatever order. Ours has what `device()`
asks for, the same bytes in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch

from benchmarks.peers import pairs, training
from benchmarks.peers.turns import Comparison
from reflowbench.core.device import device

SDP = ("flash", "mem_efficient", "cudnn")


def as_torch_comes(work: Callable[[], Any]) -> Any:
    """Call it with the settings that torch has in a new process, then go back to ours."""
    with ExitStack() as after:
        after.callback(device)  # sets all that follow
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.allow_tf32 = True
        for kind in SDP:
            getattr(torch.backends.cuda, f"enable_{kind}_sdp")(True)
        return work()


def rows(turns: int) -> Iterator[Comparison]:
    """Pairs and inversions in batches of 512, training steps of 128 as in the paper."""
    where = device()
    yield from pairs.papers_rows(turns, where, n=512, steps=4, settings=as_torch_comes, compiled=True)
    yield from training.papers_rows(turns, where, batch=128, steps=5, settings=as_torch_comes, compiled=True)
