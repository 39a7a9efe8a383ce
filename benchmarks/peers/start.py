"""How long commands and stages take before they do anything, and what an empty cycle of garbage collection adds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.peers.turns import Comparison, in_turn

STAGE = "stages.evaluate"
COMMANDS = ("", "check", "cost", "launch", "profile", "status", "track")


def rows(turns: int) -> Iterator[Comparison]:
    """A stage against the same imports as any Python program does them; `--help` against DVC's and MLflow's."""
    imports = [sys.executable, "-c", f"import {STAGE}"]
    work = {"peer": lambda: _run(imports), "ours": lambda: _run([sys.executable, "-m", STAGE, "--help"])}
    taken = in_turn(work, 2 * turns)
    yield Comparison("start and end of a stage", "the same imports in a plain process", taken["ours"], taken["peer"])
    folder = Path(sys.executable).parent
    for peer in ("dvc", "mlflow"):
        for command in COMMANDS if peer == "dvc" else ("",):
            ours = [str(folder / "reflowbench"), *filter(None, [command]), "--help"]
            theirs = [str(folder / peer), "--help"]
            taken = in_turn({"ours": partial(_run, ours), "peer": partial(_run, theirs)}, turns)
            name = " ".join(["reflowbench", *ours[1:]])
            yield Comparison(f"`{name}`", f"`{peer} --help`", taken["ours"], taken["peer"])


def _run(command: list[str]) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
