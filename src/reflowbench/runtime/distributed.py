"""Stages spread over processes: one for each GPU, or some on the CPUs, as torchrun starts them.

All processes run one script on the same inputs. Each computes its share, all get the whole of it, and the first one
alone writes. How many there are comes from the environment and is no parameter: a row's result does not depend on it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from reflowbench.errors import ReflowbenchError

if TYPE_CHECKING:
    import torch

VARIABLE = "REFLOWBENCH_PROCESSES"
_STARTED = ("RANK", "WORLD_SIZE", "MASTER_ADDR")
"""What torchrun, or any launcher like it, sets in each process that it starts."""
_PATIENCE = timedelta(days=2)
"""The first process measures and saves while the others wait; one that died is noticed by its launcher."""
_TO_SAVE = 300
"""Seconds that processes have to end after a signal, before they are killed."""


class World:
    """The processes of a stage.

    Attributes:
        rank: Number of this one.
        size: How many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        """Take in who this is; with more than one, the processes are connected already."""
        self.rank, self.size = rank, size
        self._launcher = os.getppid()

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def orphaned(self) -> bool:
        """Whether the launcher of several processes has gone without ending them."""
        return self.size > 1 and os.getppid() != self._launcher

    def gathered(self, values: torch.Tensor) -> list[torch.Tensor]:
        """What each process has.

        Args:
            values: On the CPU, of the same shape and type in all.

        Returns:
            One tensor for each process, in their order.
        """
        if self.size == 1:
            return [values]
        import torch
        from torch import distributed

        sent = values.contiguous().view(torch.uint8) if values.dtype == torch.bool else values.contiguous()
        parts = [torch.empty_like(sent) for _ in range(self.size)]
        with _talking():
            distributed.all_gather(parts, sent)
        return [part.view(values.dtype) for part in parts]

    def share(self, count: int) -> slice:
        """Which of some rows are this process's; together the processes have all."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def joined(self, own: torch.Tensor, count: int) -> torch.Tensor:
        """All rows, of which each process has its share; on the CPU."""
        if self.size == 1:
            return own
        import torch

        parts = self.gathered(_padded(own, -(-count // self.size)))
        lengths = (World(rank, self.size).share(count) for rank in range(self.size))
        return torch.cat([part[: rows.stop - rows.start] for part, rows in zip(parts, lengths, strict=True)])

    def add(self, tensors: Sequence[torch.Tensor]) -> None:
        """Put the sum over the processes into tensors of one type on one device."""
        if self.size == 1:
            return
        import torch
        from torch import distributed

        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _talking():
            distributed.all_reduce(flat)
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(part.view_as(tensor))

    def agreed(self, number: int) -> int:
        """The greatest of the processes' numbers; they also wait for each other."""
        if self.size == 1:
            return number
        import torch
        from torch import distributed

        largest = torch.tensor(number)
        with _talking():
            distributed.all_reduce(largest, op=distributed.ReduceOp.MAX)
        return int(largest.item())

    def said(self, text: str) -> list[str]:
        """What each process says, up to 1000 bytes."""
        if self.size == 1:
            return [text]
        import torch

        letters = bytearray(text.encode()[:1000].ljust(1000, b"\0"))
        heard = self.gathered(torch.frombuffer(letters, dtype=torch.uint8))
        return [bytes(part.tolist()).rstrip(b"\0").decode(errors="ignore") for part in heard]


@functools.cache
def world() -> World:
    """The processes of this stage; they are connected when this is called first.

    Returns:
        The processes; without a launcher a single one.

    Raises:
        ReflowbenchError: If a launcher said that there are several, and they cannot be connected.
    """
    size = int(os.environ.get("WORLD_SIZE", "1")) if all(name in os.environ for name in _STARTED) else 1
    if size == 1:
        return World()
    import torch
    from torch import distributed

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _talking():
        distributed.init_process_group(backend, timeout=_PATIENCE)
    return World(int(os.environ["RANK"]), size)


@contextlib.contextmanager
def _talking() -> Iterator[None]:
    """Make what a process sees of another one's death an error that says so."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0][:200]
        raise ReflowbenchError(
            f"the processes of this stage cannot talk to each other ({reason}). Most likely another one has ended, and "
            "its own message says why. Run the stage again: it goes on from what was saved"
        ) from error


def spread(
    start: int, count: int, size: int, make: Callable[[range], Sequence[torch.Tensor]]
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Make rows block by block, as many blocks at a time as there are processes, each by one of them.

    Args:
        start: The first row.
        count: The row after the last.
        size: Rows of a block.
        make: Makes the rows of a range: tensors on the CPU with these rows, which no other range changes.

    Yields:
        In all processes, what each block is, in order.
    """
    here = world()
    for turn in range(start, count, size * here.size):
        firsts = range(turn, min(turn + size * here.size, count), size)
        first = firsts[min(here.rank, len(firsts) - 1)]  # who has none left makes the last one too
        made = make(range(first, min(first + size, count)))
        if here.size == 1:
            yield tuple(made)
            continue
        # Only the last block may be shorter, and all must send as much.
        everyone = [here.gathered(_padded(values, size)) for values in made]
        for number, begin in enumerate(firsts):
            yield tuple(parts[number][: count - begin] for parts in everyone)


def _padded(values: torch.Tensor, rows: int) -> torch.Tensor:
    import torch

    return torch.cat([values, values.new_zeros((rows - len(values), *values.shape[1:]))])


def disconnect() -> None:
    """Say goodbye to the other processes, if there are any."""
    if world.cache_info().currsize and world().size > 1:
        from torch import distributed

        distributed.destroy_process_group()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes() -> int:
    """How many processes REFLOWBENCH_PROCESSES asks for; 1 if it is not set.

    Returns:
        At least 1.

    Raises:
        ReflowbenchError: If the variable is not a positive integer.
    """
    value = os.environ.get(VARIABLE, "1")
    if not value.isdecimal() or not 1 <= int(value) <= 1024:
        raise ReflowbenchError(f"environment variable {VARIABLE} = {value!r}: want a positive integer, such as 2")
    return int(value)


def is_started() -> bool:
    """Whether a launcher has started this process as one of several."""
    return all(name in os.environ for name in _STARTED) and os.environ["WORLD_SIZE"] != "1"


def launch(script: str, arguments: Sequence[str], count: int) -> None:
    """Run a stage's script in several processes, as torchrun does, and wait for them.

    Args:
        script: The script's name in `stages`.
        arguments: Its arguments.
        count: How many processes.

    Raises:
        SystemExit: With the status of the process that failed first, or 128 + the signal that this one was sent.
    """
    import logging
    import uuid

    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # The processes say themselves what is wrong.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores() // count))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        shutdown_timeout=_TO_SAVE,
        # Those that stages answer to, but for what is ignored, as under nohup.
        signals_to_handle=",".join(
            number.name for number in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(number) != signal.SIG_IGN
        ),
    )
    try:
        elastic_launch(config, sys.executable)("-m", f"stages.{script}", *arguments)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        status = failure.exitcode
        sys.exit(status if status > 0 else 128 - status)
    except SignalException as error:
        sys.exit(128 + error.sigval)
