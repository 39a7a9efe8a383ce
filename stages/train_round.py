"""train_round: one round of a method (the script behind the stages that are named by a coupling)."""

import argparse
from pathlib import Path

from reflowbench.couplings.shared.base import Inputs
from reflowbench.data.latents import open_data
from reflowbench.methods import registry
from reflowbench.networks.model import carried, load_model, save_model
from reflowbench.pairs.store import StoredHalf
from reflowbench.runtime.config import load_group
from reflowbench.runtime.device import device
from reflowbench.runtime.distributed import world
from reflowbench.runtime.journal import Journal
from reflowbench.runtime.params import GuardParams, LatentsParams, MonitorParams, PairsParams, RoundParams
from reflowbench.runtime.resume import Resumable
from reflowbench.runtime.stage import drive, run_stage, set_threads
from reflowbench.runtime.workspace import open_workspace
from reflowbench.training.chain import Round
from reflowbench.training.monitor import Monitor

GROUPS = (RoundParams, GuardParams, PairsParams, MonitorParams, LatentsParams)


def main(args: argparse.Namespace) -> None:
    """Train from the weights of the round before; write the EMA weights."""
    set_threads()
    method = registry.load_entry(args.method, args.params)
    data = open_data(args.data, load_group(LatentsParams, args.params))
    params = load_group(RoundParams, args.params)
    own, guard = registry.load_method_params(args.method, None, args.params), load_group(GuardParams, args.params)
    online = not method.stored  # makes its pairs by the method's own solver; only whether to clip them is common
    pairs = load_group(PairsParams, args.params) if method.regenerates or online else None
    read = argparse.Namespace(**vars(args), clip=pairs.clip) if online and pairs else args
    rebuilt = [pairs] if pairs and not online else []
    monitor = [load_group(MonitorParams, args.params)] if args.plots else []
    network, network_params, shape = load_model(args.start, device())
    stored = {half.manifest.kind: half for half in map(StoredHalf, filter(None, (args.synthetic, args.inverted)))}
    with open_workspace(read, params, own, guard, *rebuilt, *monitor) as workspace:
        inputs = Inputs(
            seed=args.seed,
            round=args.round,
            batch=params.batch,
            steps=params.steps,
            images=data,
            pairs=rebuilt[0] if rebuilt else None,
            clip=pairs.clip if pairs else True,
            synthetic=stored.get("synthetic"),
            inverted=stored.get("inverted"),
            carried=carried(args.start),
            scratch=workspace.part("rebuilt"),
        )
        one = Round(network, method, own, params, inputs, path="round", guard=guard)
        run = Monitor(one.trainer, data, monitor[0], args.seed, args.plots) if monitor else one.trainer
        label = f"{args.method} seed {args.seed} round {args.round}"
        drive(Journal(Resumable(run, workspace), args.plots), label)
        if world().first:
            save_model(args.out, one.trainer.ema, network_params, shape, one.facts(), one.coupling.carry)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--method", required=True, help="entry of `methods`")
PARSER.add_argument("--seed", type=int, required=True)
PARSER.add_argument("--round", type=int, required=True)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--start", type=Path, required=True, help="model folder of the round before")
PARSER.add_argument("--synthetic", type=Path, help="folder of synthetic pairs")
PARSER.add_argument("--inverted", type=Path, help="folder of inverted real pairs")
PARSER.add_argument("--plots", type=Path, help="folder for curves and samples during training (default: none)")
PARSER.add_argument("--out", type=Path, required=True, help="model folder")

if __name__ == "__main__":
    run_stage(main, PARSER, spread=True)
