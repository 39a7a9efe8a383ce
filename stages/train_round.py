"""train_round: one round of a method (the script behind the stage groups reflow, rca and ocar)."""

import argparse
import tempfile
from pathlib import Path

from reflowbench.core.config import Group, PairsParams, RoundParams, load_group
from reflowbench.core.data.images import ImageSet
from reflowbench.core.networks.model import load_model, save_model
from reflowbench.core.stage import drive, run_stage, set_threads
from reflowbench.couplings.base import Round
from reflowbench.couplings.registry import METHODS
from reflowbench.pairs.store import StoredHalf
from reflowbench.training.loop import Trainer

SCRATCH = Path(".scratch")


def groups(method: str) -> tuple[type[Group], ...]:
    """Parameter groups that the training of a method reads."""
    return (RoundParams, METHODS[method].params, *((PairsParams,) if METHODS[method].regenerates else ()))


def main(args: argparse.Namespace) -> None:
    """Train from the weights of the round before; write the EMA weights."""
    set_threads()
    method = METHODS[args.method]
    params = load_group(RoundParams)
    data = ImageSet.load(args.data)
    network, network_params, dim = load_model(args.start)
    stored = [StoredHalf(folder) for folder in (args.synthetic, args.inverted) if folder]
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        round_ = Round(
            seed=args.seed,
            round=args.round,
            batch=params.batch,
            images=data,
            pairs=load_group(PairsParams) if method.regenerates else None,
            start=load_model(args.start)[0],
            synthetic=next((s for s in stored if s.manifest.kind == "synthetic"), None),
            inverted=next((s for s in stored if s.manifest.kind == "inverted"), None),
            scratch=Path(scratch),
        )
        coupling = method.coupling(load_group(method.params), round_)
        trainer = Trainer(network, coupling, params, args.seed, args.round)
        drive(trainer, f"{args.method} seed {args.seed} round {args.round}")
    spent = sum(s.manifest.evaluations for s in stored)
    save_model(args.out, trainer.ema, network_params, dim, trainer.facts(spent))


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--method", choices=sorted(METHODS), required=True)
PARSER.add_argument("--seed", type=int, required=True)
PARSER.add_argument("--round", type=int, required=True)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--start", type=Path, required=True, help="model folder of the round before")
PARSER.add_argument("--synthetic", type=Path, help="folder of synthetic pairs")
PARSER.add_argument("--inverted", type=Path, help="folder of inverted real pairs")
PARSER.add_argument("--out", type=Path, required=True, help="model folder")

if __name__ == "__main__":
    run_stage(main, PARSER)
