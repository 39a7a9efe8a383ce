"""Work that goes on where a killed run stopped, to the same bytes.

A stage keeps what it has done in scratch space, outside DVC's outputs, under a fingerprint of all that its result
depends on: so it is never taken up with other parameters, inputs or code. It is removed once the stage is done.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from reflowbench.core import locks, sidecar
from reflowbench.core.artifacts import atomic, content_hash, read_tensors, write_json, write_tensors
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.params import Group

if TYPE_CHECKING:
    import torch

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
FOLDER = "resume"
ABOUT = "about.json"
STATE = "state.safetensors"
VARIABLE = "REFLOWBENCH_SAVE_SECONDS"
_SHARE = 0.02
"""Saving takes at most this share of the time, however large the state is."""
_NOT_INPUTS = ("out", "plots", "params")
_SHELLS = ("sh", "bash", "dash", "zsh", "fish", "ksh")

State = tuple[dict[str, "torch.Tensor"], dict[str, Any]]
"""Tensors, and what JSON can hold."""


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


def save_seconds() -> float:
    """Seconds between two saves, by REFLOWBENCH_SAVE_SECONDS; 60 if it is not set.

    Raises:
        ReflowbenchError: If the variable is not a number of at least 0.
    """
    value = os.environ.get(VARIABLE, "60")
    with contextlib.suppress(ValueError):
        if 0 <= float(value) < math.inf:
            return float(value)
    raise ReflowbenchError(f"environment variable {VARIABLE} = {value!r}: want seconds, such as 60")


class Workspace:
    """Scratch space of one stage; `open_workspace` makes it.

    Attributes:
        folder: Where the stage may keep what it has made; made when it is first used.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder, self._about, self._launcher = folder, about, _launcher()
        self._every = save_seconds()
        self._saved, self._took = time.monotonic(), 0.0

    def part(self, name: str) -> Path:
        """Path of something that the stage makes in parts; its folder is there."""
        if not (self.folder / ABOUT).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / ABOUT, self._about)
        return self.folder / name

    def is_abandoned(self) -> bool:
        """Whether the `dvc` that started this stage has gone, so that nobody will record its outputs."""
        return self._launcher is not None and not _lives(self._launcher)

    def due(self) -> bool:
        """Whether it is time to save. By a clock that is never set, so that a jump of the date does no harm."""
        wait = 0.0 if self._every == 0 else max(self._every, self._took / _SHARE)
        return time.monotonic() - self._saved >= wait

    def save(self, state: State) -> None:
        """Save, whole or not at all, and on the disk before this returns."""
        started = time.monotonic()
        try:
            with atomic(self.part(STATE)) as temporary:
                write_tensors(temporary, *state)
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
        finally:  # one that fails is not tried again at once
            self._saved = time.monotonic()
            self._took = self._saved - started

    def load(self) -> State | None:
        """What was saved; None if nothing was, or if it is damaged, which costs the work done and nothing else."""
        path = self.folder / STATE
        if not path.exists():
            return None
        try:
            tensors, facts = read_tensors(path)
            return {name: tensor.clone() for name, tensor in tensors.items()}, facts  # the file will be replaced
        except ReflowbenchError as error:
            print(f"WARNING: {error.args[0].split(';')[0]}: the stage starts from its beginning", file=sys.stderr)
            return None


@contextlib.contextmanager
def open_workspace(args: argparse.Namespace, *groups: Group) -> Iterator[Workspace]:
    """Scratch space under the fingerprint of a stage's run, for this process alone; removed if nothing is raised.

    If the `dvc` that started the stage was killed, it is kept: nobody records the outputs, and the next run, which
    makes them again, then finds all the work done.

    Args:
        args: The stage's arguments. Outputs are not part of the fingerprint, of inputs the content is.
        *groups: The parameters that it reads.

    Yields:
        The workspace, with what a killed run left in it.

    Raises:
        ReflowbenchError: If another process works on the same.
    """
    script = Path(sys.argv[0]).stem
    inputs = {name: value for name, value in sorted(vars(args).items()) if name not in _NOT_INPUTS}
    key = fingerprint(script, inputs, groups)
    about = {"script": script, "stage": sidecar.stage_name(), "arguments": {k: str(v) for k, v in inputs.items()}}
    with locks.locked(sidecar.folder() / locks.FOLDER, subject(script, key)):
        workspace = Workspace(sidecar.folder() / FOLDER / key, about)
        yield workspace
        if not workspace.is_abandoned():
            shutil.rmtree(workspace.folder, ignore_errors=True)


def subject(script: str, key: str) -> str:
    """What the lock of a workspace is of."""
    return f"{script} ({FOLDER}/{key})"


def fingerprint(script: str, inputs: Mapping[str, Any], groups: Sequence[Group]) -> str:
    """Name of all that a stage's result depends on, as far as it is known before it runs.

    Args:
        script: Name of the stage.
        inputs: Its arguments; a path stands for what lies there.
        groups: Its parameters.

    Returns:
        Hexadecimal digits.
    """
    import torch

    # What is imported now is the code that will run. Where a file is not there any more, so is not the code.
    modules = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    ours = {name: file for name, file in modules.items() if file and name.split(".")[0] in ("reflowbench", "stages")}
    content = {
        "script": script,
        "inputs": {name: content_hash(v) if isinstance(v, Path) else str(v) for name, v in inputs.items()},
        "params": [[type(group).__name__, group.model_dump()] for group in groups],
        "code": {name: content_hash(Path(file)) for name, file in sorted(ours.items())},
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


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
        """
        self._work, self._workspace = work, workspace
        if state := workspace.load():
            work.restore(*_checked_threads(state))
            print(f"resumes with {work.done} of {len(work)} parts done", file=sys.stderr)

    @property
    def done(self) -> int:
        """Parts that are done."""
        return self._work.done

    def __len__(self) -> int:
        """Number of parts."""
        return len(self._work)

    def __iter__(self) -> Iterator[T]:
        """Do what is left, yielding what the work yields.

        Raises:
            SystemExit: After SIGTERM, with status 143.
            KeyboardInterrupt: After Ctrl-C.
        """
        with _stop_signals() as stop:
            for part in self._work:
                # If nobody will record the outputs, the run after this one must find all work done.
                abandoned = self.done == len(self) and self._workspace.is_abandoned()
                if stop or abandoned or self._workspace.due():
                    _save(self._work, self._workspace, bool(stop))
                if stop:
                    raise KeyboardInterrupt if stop[0] == signal.SIGINT else SystemExit(128 + stop[0])
                yield part


def _save(work: Work[Any], workspace: Workspace, last: bool) -> None:
    import torch

    tensors, facts = work.state()
    try:
        workspace.save((tensors, facts | {"threads": torch.get_num_threads()}))
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


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Gather SIGTERM and SIGINT in a list instead of stopping; the second one stops as if it were the first."""
    seen: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}  # as under nohup

    def note(number: int, frame: FrameType | None) -> None:
        if seen:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
        seen.append(number)
        os.write(2, b"stopping after this part; once more stops at once\n")  # print may be at work already

    for number in before:
        signal.signal(number, note)
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _launcher() -> Any:
    """The process that started the stage and will record its outputs: `dvc`, behind a shell; None outside of it."""
    import psutil

    if sidecar.stage_name() is None:
        return None
    with contextlib.suppress(psutil.Error):
        return next((parent for parent in psutil.Process().parents() if parent.name() not in _SHELLS), None)
    return None


def _lives(process: Any) -> bool:
    import psutil

    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def publish(source: Path, out: Path) -> None:
    """Make a folder of the workspace an output, whole or not at all. Files are linked where the disk can."""
    with atomic(out) as temporary:
        shutil.copytree(source, temporary, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
