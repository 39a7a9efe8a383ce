"""run_chain: all rounds of one chain of a study, for every seed, in one process (start-up costs more than a round)."""

import argparse
from pathlib import Path

from reflowbench.core.artifacts import atomic, scratch_folder
from reflowbench.core.config import load_group
from reflowbench.core.params import EvaluateParams, GridParams, MonitorParams, PairsParams, RoundParams
from reflowbench.core.stage import run_stage
from reflowbench.couplings.shared import registry
from stages import evaluate, generate_pairs, rca_regenerate, train_round

GROUPS = (GridParams, RoundParams, PairsParams, EvaluateParams, MonitorParams)


def run_seed(args: argparse.Namespace, seed: int, work: Path, out: Path) -> None:
    """Run the rounds of one seed through the stages of the pipeline, keeping the evaluations."""
    grid = load_group(GridParams, args.params)
    stages = registry.load(args.method).stages
    model = args.bases / f"s{seed}"
    for k in (r.k for r in grid.rounds):
        folder = work / f"s{seed}" / f"k{k}"
        common = vars(args) | {"seed": seed, "round": k, "model": model, "start": model, "floor": False, "plots": None}
        common |= {"synthetic": None, "inverted": None}
        if "generate_pairs" in stages:
            common["synthetic"] = folder / "synthetic"
            generate_pairs.main(argparse.Namespace(**common | {"out": common["synthetic"]}))
        if "rca_regenerate" in stages:
            common["inverted"] = folder / "inverted"
            rca_regenerate.main(argparse.Namespace(**common | {"out": common["inverted"]}))
        train_round.main(argparse.Namespace(**common | {"out": folder / "model"}))
        model = folder / "model"
        if k in grid.ks:
            evaluate.main(argparse.Namespace(**common | {"model": model, "out": out / f"s{seed}" / f"k{k}"}))


def main(args: argparse.Namespace) -> None:
    """Run every seed."""
    with scratch_folder() as work, atomic(args.out) as temporary:
        temporary.mkdir()
        for seed in load_group(GridParams, args.params).seeds:
            run_seed(args, seed, work, temporary)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--chain", required=True)
PARSER.add_argument("--method", choices=registry.names(), required=True)
PARSER.add_argument("--bases", type=Path, required=True, help="folder with a base model per seed")
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--heldout", type=Path, required=True)
PARSER.add_argument("--features", type=Path, required=True)
PARSER.add_argument("--out", type=Path, required=True, help="folder of evaluations")

if __name__ == "__main__":
    run_stage(main, PARSER)
