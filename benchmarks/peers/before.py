"""Stages of the default pipeline, against those of an earlier commit of this project in turn, each with one thread."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.clones import ROOT, environment
from benchmarks.peers.turns import Comparison, in_turn
from reflowbench.errors import ReflowbenchError

BEFORE = "b840ecf"
"""The last commit before performance was looked at."""
THREADS = 1
PEERS = ROOT / ".scratch/peers"
"""Where torchdiffeq is, which that commit imports."""
DATA = "--data data/train.safetensors"
ROUND = f"--seed 0 --round 1 {DATA} --start base --plots made/p"
STAGES = {
    "generate_pairs": "--seed 0 --round 1 --model base --out made/synthetic",
    "rca_regenerate": f"--seed 0 --round 1 --model base {DATA} --out made/inverted",
    "train_round reflow": f"{ROUND} --synthetic synthetic --out made/reflow",
    "train_round ocar": f"{ROUND} --out made/ocar",
    "evaluate": f"--seed 0 {DATA} --heldout data/heldout.safetensors --features classifier.safetensors --model base "
    "--out made/evaluation",
}
FIRST = {
    "prepare_data": "--out data/train.safetensors --heldout data/heldout.safetensors",
    "train_features": f"{DATA} --heldout data/heldout.safetensors --out classifier.safetensors",
    "train_base": f"--seed 0 --coupling independent {DATA} --out base",
    "generate_pairs": "--seed 0 --round 1 --model base --out synthetic",
}


def rows(turns: int) -> Iterator[Comparison]:
    """Whole processes, starts and imports included."""
    if subprocess.run(["git", "cat-file", "-e", f"{BEFORE}^{{commit}}"], cwd=ROOT, check=False).returncode:
        raise ReflowbenchError(f"commit {BEFORE} is not here: `git fetch --unshallow`, or work in a clone")
    with tempfile.TemporaryDirectory(prefix="before-") as name:
        folders = {"peer": Path(name) / "before", "ours": Path(name) / "now"}
        for side, folder in folders.items():
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
            subprocess.run(["git", "checkout", "--quiet", BEFORE if side == "peer" else "HEAD"], cwd=folder, check=True)
            if side == "ours":  # the other works on pixels
                settings = folder / "params.yaml"
                settings.write_text(settings.read_text().replace("kind: pca", "kind: none"))
            (folder / "data").mkdir(exist_ok=True)
            for stage, arguments in FIRST.items():
                _run(folder, stage, arguments)
        for stage, arguments in STAGES.items():
            space = {"peer": "", "ours": " --space data" if stage == "evaluate" else ""}
            work = {side: partial(_run, folder, stage, arguments + space[side]) for side, folder in folders.items()}
            taken = in_turn(work, min(turns, 3))
            yield Comparison(f"stage `{stage}`", f"the same at {BEFORE}", taken["ours"], taken["peer"])


def _run(folder: Path, stage: str, arguments: str) -> None:
    script, *method = stage.split()
    own = environment(folder, THREADS)
    own["PYTHONPATH"] += f":{PEERS}"
    own |= {"OMP_NUM_THREADS": str(THREADS), "OPENBLAS_NUM_THREADS": str(THREADS)}  # ours sets them, the other does not
    command = [sys.executable, "-m", f"stages.{script}", *(["--method", *method] if method else []), *arguments.split()]
    subprocess.run(command, cwd=folder, env=own, capture_output=True, check=True)
