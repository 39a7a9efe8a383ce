"""What is known of one run of a stage only: when, where, how long. Kept beside the outputs, never in them.

Outputs are the same bytes in every run, so a time or a host name must not get into them. `reflowbench status` and the
mirror in MLflow read it from here.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from reflowbench.runtime.artifacts import SCRATCH, content_hash

RUNS = "durations.jsonl"
LIVE = "live"
DIVERGED = "diverged"
"""Folder of batches at which trainings diverged."""
RUN = f"{time.time_ns() // 1_000_000}-{os.getpid()}"
"""This process, among all that wrote to a sidecar."""
_ADDRESS = re.compile(r"^(?:\.\./)*(?:rounds/\d+/)?dvc\.yaml:")


def folder() -> Path:
    """Folder of the sidecar, which Git and DVC ignore.

    DVC runs experiments in a temporary copy of the workspace and names the repository in DVC_ROOT; what is kept in
    the copy is lost with it.

    Returns:
        The folder, which need not be there yet.
    """
    return Path(os.environ.get("DVC_ROOT", "")) / SCRATCH


def stage_name() -> str | None:
    """Name of the stage that DVC is running in this process.

    Returns:
        Its name as in dvc.lock, without an address such as `rounds/1/dvc.yaml:`; None outside `dvc repro`.
    """
    address = os.environ.get("DVC_STAGE")
    return address and _ADDRESS.sub("", address)


def record(script: str, arguments: Sequence[str], outs: Iterable[Path], status: int, of: str | None = None) -> None:
    """Append a line about this run, in one write, so that stages that end together do not mix.

    Args:
        script: Name of the stage's script.
        arguments: What it was called with.
        outs: Its outputs. Their hashes say later which entry of dvc.lock the run made.
        status: Exit status.
        of: Profile that it ran with.
    """
    with contextlib.suppress(Exception):  # nothing that depends on it is worth a stage
        line = {"script": script, "arguments": list(arguments), "exit": status, "profile": of, **_facts()}
        if status == 0:
            line["outs"] = {path.as_posix(): found for path in outs if (found := content_hash(path))}
        folder().mkdir(exist_ok=True)
        with (folder() / RUNS).open("ab", buffering=0) as file:
            file.write((json.dumps(line) + "\n").encode())


def profile(path: Path = Path("params.yaml")) -> str | None:
    """Profile that a parameter file is of; None if it does not say so. Not validated: a run is recorded anyway."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    named = re.search(r"^profile: *[\"']?([\w-]+)", text, re.MULTILINE)
    return named and named[1]


def _facts() -> dict[str, Any]:
    import resource

    import psutil

    started = psutil.Process().create_time()  # with the imports, which may take most of it
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "run": RUN,
        "stage": stage_name(),
        "started": round(started, 3),
        "seconds": round(time.time() - started, 2),
        "peak_bytes": peak,
        "host": platform.node(),
        "hardware": hardware(),
    }


def hardware() -> dict[str, Any]:
    """What this process runs on. Asks torch only if it is loaded, since that takes seconds."""
    found: dict[str, Any] = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    torch = sys.modules.get("torch")
    if torch is not None:
        found |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
        if torch.cuda.is_available():
            found["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return found
