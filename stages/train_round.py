"""train_round: one round of a method (the script behind the stage groups reflow, rca and ocar)."""

import argparse
from pathlib import Path

from reflowbench.core.artifacts import scratch_folder
from reflowbench.core.config import load_group
from reflowbench.core.data.images import ImageSet
from reflowbench.core.networks.model import carried, load_model, save_model
from reflowbench.core.params import MonitorParams, PairsParams, RoundParams
from reflowbench.core.stage import drive, run_stage, set_threads
from reflowbench.couplings.shared import registry
from reflowbench.couplings.shared.base import Inputs, Spent
from reflowbench.pairs.store import StoredHalf
from reflowbench.training.journal import Journal
from reflowbench.training.loop import Trainer
from reflowbench.training.monitor import Monitor

GROUPS = (RoundParams, PairsParams, MonitorParams)


def main(args: argparse.Namespace) -> None:
    """Train from the weights of the round before; write the EMA weights."""
    set_threads()
    method = registry.load(args.method)
    data, params = ImageSet.load(args.data), load_group(RoundParams, args.params, args.chain)
    network, network_params, dim = load_model(args.start)
    stored = {half.manifest.kind: half for half in map(StoredHalf, filter(None, (args.synthetic, args.inverted)))}
    with scratch_folder() as scratch:
        inputs = Inputs(
            seed=args.seed,
            round=args.round,
            batch=params.batch,
            steps=params.steps,
            images=data,
            pairs=load_group(PairsParams, args.params, args.chain) if method.regenerates else None,
            synthetic=stored.get("synthetic"),
            inverted=stored.get("inverted"),
            carried=carried(args.start),
            scratch=scratch,
        )
        coupling = method.coupling(registry.load_method_params(args.method, args.chain, args.params), inputs)
        trainer = Trainer(network, coupling, params, args.seed, args.round, path="round")
        looks = (data, load_group(MonitorParams, args.params), args.seed, args.plots) if args.plots else None
        drive(
            Journal(Monitor(trainer, *looks) if looks else trainer, args.plots),
            f"{args.chain or args.method} seed {args.seed} round {args.round}",
        )
        cost = {kind: h.manifest.evaluations for kind, h in stored.items() if kind not in coupling.unused}
        facts = trainer.facts(Spent(cost.get("synthetic", 0), cost.get("inverted", 0)))
        save_model(args.out, trainer.ema, network_params, dim, facts, coupling.carry)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--method", choices=registry.names(), required=True)
PARSER.add_argument("--chain", help="variant of the method, in a study")
PARSER.add_argument("--seed", type=int, required=True)
PARSER.add_argument("--round", type=int, required=True)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--start", type=Path, required=True, help="model folder of the round before")
PARSER.add_argument("--synthetic", type=Path, help="folder of synthetic pairs")
PARSER.add_argument("--inverted", type=Path, help="folder of inverted real pairs")
PARSER.add_argument("--plots", type=Path, help="folder for curves and samples during training (default: none)")
PARSER.add_argument("--out", type=Path, required=True, help="model folder")

if __name__ == "__main__":
    run_stage(main, PARSER)
