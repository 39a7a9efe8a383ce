"""The processes around a stage: what asks it to stop, and who started it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from reflowbench.runtime import sidecar
from reflowbench.runtime.distributed import world

Handlers = dict[int, Any]
"""What signals do, by their numbers."""
_SHELLS = ("sh", "bash", "dash", "zsh", "fish", "ksh")


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Gather SIGTERM and SIGINT in a list instead of stopping; the second one stops as if it were the first.

    Of several processes each is signalled by its launcher, and maybe by who signalled that: the second one is ignored.

    Yields:
        The numbers of the signals that have come so far; empty as long as none has.
    """
    seen: list[int] = []

    def note(number: int, before: Handlers) -> None:
        if seen and world().size > 1:
            return
        if seen:
            signal.signal(number, before[number])
            signal.raise_signal(number)
        seen.append(number)
        alone = b"; once more stops at once" if world().size == 1 else b""
        os.write(2, b"stopping after this part" + alone + b"\n")  # print may be at work already

    with on_stop(note):
        yield seen


@contextlib.contextmanager
def on_stop(note: Callable[[int, Handlers], object]) -> Iterator[None]:
    """Call a function at SIGTERM and SIGINT, unless they are ignored as under nohup.

    Args:
        note: Given the signal and what it and the other one did before.
    """
    found = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before: Handlers = {number: handler for number, handler in found.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda number, _: note(number, before))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def launcher() -> Any:
    """The process that started the stage and will record its outputs: `dvc`, behind a shell; None outside of it."""
    import psutil

    if sidecar.stage_name() is None:
        return None
    with contextlib.suppress(psutil.Error):
        parents = psutil.Process().parents()[int(world().size > 1) :]  # the first one then is who shares the work out
        return next((parent for parent in parents if parent.name() not in _SHELLS), None)
    return None


def lives(process: Any) -> bool:
    """Whether a process is at work."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
