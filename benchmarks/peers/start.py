"""How long a stage takes before and after it does anything, and how long commands take to show their help."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.peers.turns import Comparison, in_turn

STAGE = "stages.evaluate"


def rows(turns: int) -> Iterator[Comparison]:
    """A stage against the same imports as any Python program does them; `--help` against DVC's."""
    imports = [sys.executable, "-c", f"import {STAGE}"]
    work = {"peer": partial(_run, imports), "ours": partial(_run, [sys.executable, "-m", STAGE, "--help"])}
    taken = in_turn(work, 2 * turns)
    yield Comparison("start and end of a stage", "the same imports in a plain process", taken["ours"], taken["peer"])
    ours, peer = (str(Path(sys.executable).parent / name) for name in ("reflowbench", "dvc"))
    commands = re.findall(r"^ {4}([a-z]+)  ", _run([ours, "--help"]), re.MULTILINE)
    work = {name: partial(_run, [ours, *name.split(), "--help"]) for name in ("", *commands)}
    taken = in_turn({"peer": partial(_run, [peer, "--help"]), **work}, turns)
    yield Comparison("`reflowbench --help`", "`dvc --help`", taken[""], taken["peer"])
    slowest = max(commands, key=lambda name: median(taken[name]))
    what = f"`reflowbench {slowest} --help`, the slowest of {len(commands)} commands"
    yield Comparison(what, "`dvc --help`", taken[slowest], taken["peer"])


def _run(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True).stdout
