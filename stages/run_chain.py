"""run_chain: all rounds and seeds of a chain of the ablations in one process, since starts cost more than rounds."""

import argparse
from pathlib import Path
from typing import Any

from reflowbench.data.latents import TRAIN
from reflowbench.methods import entries, registry
from reflowbench.runtime.artifacts import is_whole
from reflowbench.runtime.config import load_group
from reflowbench.runtime.params import (
    EvaluateParams,
    GridParams,
    GuardParams,
    LatentsParams,
    MonitorParams,
    PairsParams,
    RoundParams,
)
from reflowbench.runtime.stage import run_stage
from reflowbench.runtime.workspace import open_workspace, publish
from stages import evaluate, generate_pairs, rca_regenerate, train_round

GROUPS = (GridParams, RoundParams, GuardParams, PairsParams, EvaluateParams, MonitorParams, LatentsParams)


def run_seed(args: argparse.Namespace, seed: int, work: Path, out: Path) -> None:
    """Run the rounds of one seed through the stages of the pipeline, keeping the evaluations."""
    grid = load_group(GridParams, args.params)
    stored = registry.load(args.method).stored
    model = args.bases / f"s{seed}"
    for k in range(1, grid.rounds[-1] + 1):
        folder = work / f"s{seed}" / f"round{k}"
        common = vars(args) | {"seed": seed, "round": k, "model": model, "start": model, "floor": False, "plots": None}
        common |= {"synthetic": None, "inverted": None, "data": args.space / TRAIN}
        if "synthetic" in stored:
            common["synthetic"] = _made(generate_pairs, common, folder / "synthetic")
        if "inverted" in stored:
            common["inverted"] = _made(rca_regenerate, common, folder / "inverted")
        model = _made(train_round, common, folder / "model")
        if k in grid.rounds:
            _made(evaluate, common | {"model": model, "data": args.data}, out / f"s{seed}" / f"round{k}")


def _made(stage: Any, arguments: dict[str, Any], out: Path) -> Path:
    """Run a stage, unless a run that was killed has made its output: whole, as outputs are, and not damaged since."""
    if not out.exists() or not is_whole(out):
        stage.main(argparse.Namespace(**arguments | {"out": out}))
    return out


def main(args: argparse.Namespace) -> None:
    """Run every seed."""
    grid = load_group(GridParams, args.params)
    own = registry.load_method_params(args.method, args.chain, args.params)
    latents = load_group(LatentsParams, args.params)
    groups = (load_group(EvaluateParams, args.params), load_group(GuardParams, args.params), latents, own)
    rounds = (load_group(RoundParams, args.params, args.chain), load_group(PairsParams, args.params, args.chain))
    cells = (grid.seeds, grid.rounds)
    with open_workspace(argparse.Namespace(**vars(args), cells=cells), *groups, *rounds) as workspace:
        work, out = workspace.part("chain"), workspace.part("evaluations")
        for seed in grid.seeds:
            run_seed(args, seed, work, out)
        publish(out, args.out)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--chain", required=True)
PARSER.add_argument("--method", choices=entries.names(), required=True)
PARSER.add_argument("--bases", type=Path, required=True, help="folder with a base model per seed")
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--space", type=Path, required=True, help="folder of what models are trained on: images or latents")
PARSER.add_argument("--heldout", type=Path, required=True)
PARSER.add_argument("--features", type=Path, required=True)
PARSER.add_argument("--out", type=Path, required=True, help="folder of evaluations")

if __name__ == "__main__":
    run_stage(main, PARSER)
