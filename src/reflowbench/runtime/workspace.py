"""Scratch space of a stage, outside DVC's outputs, under a fingerprint of all that its result depends on.

So what is kept there is never taken up with other parameters, inputs or code. It is removed once the stage is done.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import locks, sidecar, unchanged
from reflowbench.runtime.artifacts import atomic, content_hash, read_tensors, to_disk, write_json, write_tensors
from reflowbench.runtime.distributed import world
from reflowbench.runtime.params import Group
from reflowbench.runtime.processes import launcher, lives

if TYPE_CHECKING:
    import torch

FOLDER = "resume"
ABOUT = "about.json"
STATE = "state.safetensors"
VARIABLE = "REFLOWBENCH_SAVE_SECONDS"
_SHARE = 0.02
"""Saving takes at most this share of the time, however large the state is."""
_NOT_INPUTS = ("out", "plots", "params")

State = tuple[dict[str, "torch.Tensor"], dict[str, Any]]
"""Tensors, and what JSON can hold."""


def save_seconds() -> float:
    """Seconds between two saves, by REFLOWBENCH_SAVE_SECONDS; 60 if it is not set.

    Returns:
        At least 0; at 0 every part is saved.

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
        self.folder, self._about, self._launcher = folder, about, launcher()
        self._every = save_seconds()
        self._saved, self._took = time.monotonic(), 0.0

    def part(self, name: str) -> Path:
        """Path of something that the stage makes in parts; its folder is there."""
        if world().first and not (self.folder / ABOUT).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / ABOUT, self._about)
        return self.folder / name

    def is_abandoned(self) -> bool:
        """Whether the `dvc` that started this stage has gone, so that nobody will record its outputs."""
        return self._launcher is not None and not lives(self._launcher)

    def due(self) -> bool:
        """Whether it is time for the first process to save. By a clock that is never set."""
        wait = 0.0 if self._every == 0 else max(self._every, self._took / _SHARE)
        return world().first and time.monotonic() - self._saved >= wait

    def save(self, state: Callable[[], State]) -> None:
        """Save what a function gives, whole or not at all, and on the disk before this returns."""
        started = time.monotonic()
        try:
            with atomic(self.part(STATE)) as temporary:
                write_tensors(temporary, *state())
                to_disk(temporary)
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

    Where a process of another checkout works on the same, as parallel experiments do, this one gets a space of its own.
    Of several processes the first one holds it, the others read what is there. If the `dvc` that started the stage was
    killed, it is kept: nobody records the outputs, and the next run, which makes them again, then finds all the work
    done.

    Args:
        args: The stage's arguments. Outputs are not part of the fingerprint, of inputs the content is.
        *groups: The parameters that it reads.

    Yields:
        The workspace, with what a killed run left in it.
    """
    script = Path(sys.argv[0]).stem
    inputs = {name: value for name, value in sorted(vars(args).items()) if name not in _NOT_INPUTS}
    key = fingerprint(script, inputs, groups)
    about = {"script": script, "stage": sidecar.stage_name(), "arguments": {k: str(v) for k, v in inputs.items()}}
    with contextlib.ExitStack() as stack:
        if world().first:
            try:
                stack.enter_context(locks.locked(sidecar.folder() / locks.FOLDER, subject(key)))
            except locks.LockedError:  # not for the same output: that has a lock too
                key = f"{key}-{os.getpid()}"
                stack.enter_context(locks.locked(sidecar.folder() / locks.FOLDER, subject(key)))
        keys = world().said(key)
        if len({own.partition("-")[0] for own in keys}) > 1:
            raise ReflowbenchError(
                "processes of this stage do not see the same code, parameters or inputs: the checkout must be on a "
                "disk that all machines share"
            )
        workspace = Workspace(sidecar.folder() / FOLDER / keys[0], about)
        yield workspace
        if world().first and not workspace.is_abandoned():
            shutil.rmtree(workspace.folder, ignore_errors=True)


def subject(key: str) -> str:
    """What the lock of a workspace is of."""
    return f"{sidecar.folder() / FOLDER / key}"


def fingerprint(script: str, inputs: Mapping[str, Any], groups: Sequence[Group]) -> str:
    """Name of all that a stage's result depends on, as far as it is known before it runs.

    Args:
        script: Name of the stage.
        inputs: Its arguments; a path stands for what lies there.
        groups: Its parameters.

    Returns:
        Hexadecimal digits.
    """
    content = {
        "script": script,
        "inputs": {name: content_hash(v) if isinstance(v, Path) else str(v) for name, v in inputs.items()},
        "params": [[type(group).__name__, group.model_dump()] for group in groups],
        "code": {name: content_hash(file) for name, file in sorted(unchanged.code().items())},
        "libraries": {name: version(name) for name in ("torch", "numpy", "scipy")},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def publish(source: Path, out: Path) -> None:
    """Make a folder of the workspace an output, whole or not at all. Files are linked where the disk can.

    What a kill left half-written in it stays behind. Of several processes the first one does it.
    """
    if not world().first:
        return
    with atomic(out) as temporary:
        shutil.copytree(source, temporary, copy_function=_link, ignore=shutil.ignore_patterns(".*.tmp"))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
