"""Running a stage script: arguments to typed parameters to one library call, with errors a user can read."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import artifacts, sidecar
from reflowbench.runtime.artifacts import REMEDIES, SCRATCH, remove_drafts, unwritable
from reflowbench.runtime.config import PARAMS_FILE, read_yaml
from reflowbench.runtime.distributed import disconnect, is_started, launch, processes, world
from reflowbench.runtime.locks import FOLDER, locked
from reflowbench.runtime.start import imported, threads
from reflowbench.runtime.unchanged import Snapshot

T = TypeVar("T")


def run_stage(
    main: Callable[..., None],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
    *,
    outputs: Sequence[str] = ("out", "plots"),
    spread: bool = False,
) -> None:
    """Run a stage's `main` with its parsed arguments, then exit.

    A `ReflowbenchError`, or a disk that is full or read-only, becomes a message on stderr and exit status 1; Ctrl-C and
    SIGTERM exit with 130 and 143 after the clean-up of half-written outputs. No two processes run for one output at
    once. What the run took goes to the sidecar.

    A stage that can be spread runs in as many processes as REFLOWBENCH_PROCESSES or torchrun says. The first one does
    all of this; the others are silent, unless they end with an error.

    Args:
        main: Called with the namespace.
        parser: The stage's arguments.
        argv: Arguments; those of the process if None.
        outputs: Names of the arguments that name outputs.
        spread: Whether the script shares its work with other processes.
    """
    imported()
    parser.add_argument("--params", type=Path, default=PARAMS_FILE, help="parameter file (default: %(default)s)")
    args = parser.parse_args(argv)
    profile = sidecar.profile(args.params)  # at the end of a long run the file may be another profile's
    signal.signal(signal.SIGTERM, _terminate)
    try:
        if is_started() and not spread:
            raise ReflowbenchError("this stage runs in one process: start it without torchrun")
        if not is_started() and spread and (count := processes()) > 1:
            launch(Path(sys.argv[0]).stem, sys.argv[1:] if argv is None else argv, count)
            return
        first = world().first
    except ReflowbenchError as error:
        sys.exit(f"ERROR: {error}")
    if not first:
        _run_silently(main, args)
        return
    outs = [path for name in outputs if isinstance(path := getattr(args, name, None), Path)]
    _guard(args, outputs, outs)
    status = 1
    try:
        with contextlib.ExitStack() as stack:
            for path in outs:
                stack.enter_context(locked(SCRATCH / FOLDER, path.as_posix()))
                remove_drafts(path)
            main(args)
        disconnect()
        status = 0
    except ReflowbenchError as error:
        sys.exit(f"ERROR: {error}")
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        sys.exit(f"ERROR: {unwritable(Path(error.filename or SCRATCH), error)}")
    except KeyboardInterrupt:
        print("interrupted; no output was written", file=sys.stderr)
        status = 130
        sys.exit(status)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
        raise
    finally:
        sidecar.record(Path(sys.argv[0]).stem, sys.argv[1:] if argv is None else argv, outs, status, profile)


def _guard(args: argparse.Namespace, outputs: Sequence[str], outs: Sequence[Path]) -> None:
    """See to it that nothing is published once code, parameters or inputs have changed."""
    given = {name: value for name, value in vars(args).items() if isinstance(value, Path) and name != "params"}
    inputs = [path for name, path in given.items() if name not in outputs]
    results = [path for path in outs if path != given.get("plots")]  # what is seen of a training while it runs
    snapshot = Snapshot(
        [path for path in inputs if not any(_overlap(path, out) for out in outs)], args.params, read_yaml
    )

    def check(path: Path) -> None:
        if any(path.is_relative_to(out) for out in results):
            snapshot.check()

    artifacts.before_publishing = check


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _run_silently(main: Callable[..., None], args: argparse.Namespace) -> None:
    """Run a process that is not the first: what it would say, the first one says; but not what stops it."""
    try:
        with (
            Path(os.devnull).open("w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            main(args)
    except ReflowbenchError as error:
        sys.exit(f"ERROR: process {world().rank}: {error}")
    disconnect()


def _terminate(signum: int, frame: Any) -> None:
    sys.exit(128 + signum)


def set_threads() -> None:
    """Fix torch's thread count if REFLOWBENCH_THREADS asks for it.

    Raises:
        ReflowbenchError: If the variable is not a positive integer.
    """
    count = threads()
    if count is not None:
        import torch

        torch.set_num_threads(count)


def progress(work: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Pass work through behind a progress bar with ETA on stderr.

    Args:
        work: An iterable that works as it is iterated.
        description: Label of the bar.
        total: Number of parts, for work that has no length.

    Returns:
        An iterator over the same parts.
    """
    from tqdm import tqdm

    # A log file gets a line now and then, a terminal a live bar.
    interval = 0.2 if sys.stderr.isatty() else 30.0
    bar = tqdm(
        work,
        desc=description,
        total=total,
        initial=getattr(work, "done", 0),  # of work that a killed run began
        mininterval=interval,
        file=sys.stderr,
        dynamic_ncols=True,
    )
    return iter(bar)


def drive(work: Iterable[object], description: str) -> None:
    """Run an iterable of work to its end behind a progress bar."""
    for _ in progress(work, description):
        pass
