"""Independent work on all cores, each part on one thread: its bytes do not depend on how many cores there are."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from reflowbench.runtime.distributed import cores
from reflowbench.runtime.start import threads

J = TypeVar("J")
R = TypeVar("R")


def in_parallel(work: Callable[[J], R], jobs: Sequence[J]) -> Iterator[R]:
    """Run a function on every job, one process per core or as many as REFLOWBENCH_THREADS says.

    Args:
        work: A function of a module (it is pickled); run in another process, with torch on one thread.
        jobs: What it is called with. Long ones first use the cores best.

    Yields:
        Its results, in the order of the jobs.

    Raises:
        Exception: What the first job that failed raised; jobs that have not begun are dropped.
        pickle.PicklingError: If the function or a job cannot be handed to another process.
    """
    pickle.dumps((work, jobs))  # what cannot be pickled is an error here: the pool of Python 3.11 would hang
    workers = min(threads() or cores(), len(jobs))
    # A forked process has torch at once; it may not use the parent's thread pool, and with one thread it does not.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(os.getpid(),)) as pool:
        try:
            yield from pool.map(work, jobs)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin(parent: int) -> None:
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End when the process that asked for the work has been killed: nobody else would, and it would wait for ever."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
