"""How long something takes, for the benchmarks."""

import time
from collections.abc import Callable

import torch


def take_torchs_settings() -> None:
    """Undo what `device()` asks of a GPU, by what torch has in a new process."""
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = True
    for kind in ("flash", "mem_efficient", "cudnn"):
        getattr(torch.backends.cuda, f"enable_{kind}_sdp")(True)


def seconds(work: Callable[[], object]) -> float:
    """Of one call, a GPU's work included. Leaves torch's settings as they are, which `device()` would set anew."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - started
