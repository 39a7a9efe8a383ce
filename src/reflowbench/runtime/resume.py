"""Work that goes on where a killed run stopped, to the same bytes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.distributed import world
from reflowbench.runtime.processes import stop_signals
from reflowbench.runtime.workspace import State, Workspace

if TYPE_CHECKING:
    import torch

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


def flat(parts: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Named tensors of several parts as those of one: `part.name`."""
    return {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}


def part_of(tensors: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """The tensors of one part of what `flat` made, by their own names."""
    return {name[len(part) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}


class Work(Protocol[T_co]):
    """Work in parts, whose state can be saved after each."""

    @property
    def done(self) -> int:
        """Parts that are done."""

    def __len__(self) -> int:
        """Number of parts."""

    def __iter__(self) -> Iterator[T_co]:
        """Do what is left, yielding after each part."""

    def state(self) -> State:
        """All that the rest of the work depends on, besides what the object was made from."""

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Take back what `state` returned."""


class Resumable(Generic[T]):
    """Work that goes on from where a killed run stopped: iterate in place of it.

    It is saved from time to time, and when this process is asked to stop: SIGTERM and Ctrl-C are answered after the
    part that is being done, when the state is whole; a second one at once.
    """

    def __init__(self, work: Work[T], workspace: Workspace) -> None:
        """Take up what a killed run has saved.

        Args:
            work: The work.
            workspace: Where its state is kept.

        Raises:
            ReflowbenchError: If processes that share the work took up different states of it.
        """
        import torch

        self._work, self._workspace, self._world = work, workspace, world()
        if state := workspace.load():
            work.restore(*_checked_threads(state))
            print(f"resumes with {work.done} of {len(work)} parts done", file=sys.stderr)
        # None goes on before all have read it; on several machines they may see different disks.
        if len(found := {int(parts) for parts in self._world.gathered(torch.tensor(work.done))}) > 1:
            raise ReflowbenchError(
                f"processes of this stage do not see the same saved work ({sorted(found)} parts are done): .scratch/ "
                "must be on a disk that all machines share"
            )

    @property
    def done(self) -> int:
        """Parts that are done."""
        return self._work.done

    def __len__(self) -> int:
        """Number of parts."""
        return len(self._work)

    def __iter__(self) -> Iterator[T]:
        """Do what is left, yielding what the work yields.

        Yields:
            What the work yields, part by part.

        Raises:
            SystemExit: After SIGTERM, with status 143.
            KeyboardInterrupt: After Ctrl-C.
        """
        with stop_signals() as stop:
            for part in self._work:
                # If nobody will record the outputs, the run after this one must find all work done.
                abandoned = self.done == len(self) and self._workspace.is_abandoned()
                asked = self._asked(stop)
                if self._world.first and (asked or abandoned or self._workspace.due()):
                    _save(self._work, self._workspace, bool(asked))
                _end(asked)
                yield part
            _end(self._asked(stop))  # since the last part; what comes after the work must not begin

    def _asked(self, stop: list[int]) -> int:
        """The signal that asks this process, or any that it shares the work with, to stop; 0 if none does."""
        own = stop[0] if stop else signal.SIGTERM if self._world.orphaned else 0
        return self._world.agreed(own)


def _end(number: int) -> None:
    if number:
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _save(work: Work[Any], workspace: Workspace, last: bool) -> None:
    import torch

    def state() -> State:
        tensors, facts = work.state()
        return tensors, facts | {"threads": torch.get_num_threads()}

    try:
        workspace.save(state)
    except ReflowbenchError as error:  # a full disk must not end the work of days
        print(f"WARNING: {error.args[0].split(';')[0]}: not saved", file=sys.stderr)
    else:
        if last:
            print("saved; the next run goes on from here", file=sys.stderr)


def _checked_threads(state: State) -> State:
    """Warn where the bytes will be those of no single machine; starting again would lose the work of days."""
    import torch

    tensors, facts = state
    if (threads := facts.pop("threads")) != torch.get_num_threads():
        print(
            f"WARNING: saved by a run with {threads} threads, resumed with {torch.get_num_threads()}: the result may "
            "differ in its last digits from one that was not interrupted (REFLOWBENCH_THREADS fixes their number)",
            file=sys.stderr,
        )
    return tensors, facts
