"""How long something takes, for the benchmarks."""

import time
from collections.abc import Callable

import torch


def seconds(work: Callable[[], object]) -> float:
    """Of one call, a GPU's work included. Leaves torch's settings as they are, which `device()` would set anew."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - started
