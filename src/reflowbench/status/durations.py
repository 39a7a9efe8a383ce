"""What stages took when they ran, as `core.sidecar` records it, and what others may take."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from reflowbench.runtime.artifacts import SCRATCH
from reflowbench.runtime.sidecar import RUNS


@dataclass(frozen=True)
class Durations:
    """Seconds that finished stages of a profile took.

    Attributes:
        last: By script and arguments, of the last run.
        typical: By script, the median over all runs.
    """

    last: dict[tuple[str, ...], float]
    typical: dict[str, float]

    def spent(self, command: tuple[str, ...]) -> float | None:
        """What a stage took when it last ran; None if that is not recorded."""
        return self.last.get(_key(command))

    def expected(self, command: tuple[str, ...]) -> float | None:
        """What a stage may take if DVC has no result of it in its cache; None if its script never ran."""
        return self.typical.get(_key(command)[0])


def read_durations(profile: str | None, path: Path = SCRATCH / RUNS) -> Durations:
    """Read the record; lines that are damaged or of stages that failed are left out.

    Args:
        profile: Its runs count; those of another tell nothing of how long it takes.
        path: The record; it need not exist.

    Returns:
        The durations.
    """
    last: dict[tuple[str, ...], float] = {}
    every: defaultdict[str, list[float]] = defaultdict(list)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            run = json.loads(line)
            if run["exit"] == 0 and run.get("profile") == profile:
                seconds = float(run["seconds"])
                last[run["script"], *run["arguments"]] = seconds
                every[run["script"]].append(seconds)
        except (ValueError, KeyError, TypeError):
            continue
    return Durations(last, {script: median(seconds) for script, seconds in every.items()})


def _key(command: tuple[str, ...]) -> tuple[str, ...]:
    """A stage's command as it is recorded: `stages.evaluate` is the script `evaluate`."""
    module, *arguments = command
    return module.rpartition(".")[2], *arguments
