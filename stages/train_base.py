"""train_base: rectified flow on real images (round 0)."""

import argparse
from pathlib import Path

from reflowbench.couplings.ot import Ot, OtParams
from reflowbench.couplings.shared.base import Coupling, Inputs
from reflowbench.couplings.shared.independent import Independent
from reflowbench.data.latents import open_data
from reflowbench.networks import registry
from reflowbench.networks.model import save_model
from reflowbench.runtime.config import load_group
from reflowbench.runtime.device import device
from reflowbench.runtime.distributed import world
from reflowbench.runtime.journal import Journal
from reflowbench.runtime.params import BaseParams, GuardParams, LatentsParams, MonitorParams, NetworkParams
from reflowbench.runtime.resume import Resumable
from reflowbench.runtime.stage import drive, run_stage, set_threads
from reflowbench.runtime.workspace import open_workspace
from reflowbench.training.loop import Trainer
from reflowbench.training.monitor import Monitor

GROUPS = (NetworkParams, BaseParams, GuardParams, MonitorParams, LatentsParams)


def main(args: argparse.Namespace) -> None:
    """Train from scratch and write the EMA weights."""
    set_threads()
    network_params, params = load_group(NetworkParams, args.params), load_group(BaseParams, args.params)
    guard = load_group(GuardParams, args.params)
    monitor = [load_group(MonitorParams, args.params)] if args.plots else []
    data = open_data(args.data, load_group(LatentsParams, args.params))
    network = registry.build(network_params, data.shape, args.seed).to(device())
    inputs = Inputs(args.seed, 0, params.batch, params.steps, data)
    coupling: Coupling = Independent(inputs, params.flip)
    if args.coupling == "ot":
        coupling = Ot(OtParams(assignment="semidiscrete", noises=1, chunk=0, potential=params.potential), inputs)
    trainer = Trainer(network, coupling, params, args.seed, round_=0, path="base", guard=guard)
    run = Monitor(trainer, data, monitor[0], args.seed, args.plots) if monitor else trainer
    with open_workspace(args, network_params, params, guard, *monitor) as workspace:
        drive(Journal(Resumable(run, workspace), args.plots), f"base seed {args.seed}")
        if world().first:
            save_model(args.out, trainer.ema, network_params, data.shape, trainer.facts(), coupling.carry)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--seed", type=int, required=True)
PARSER.add_argument("--coupling", choices=("independent", "ot"), required=True)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--plots", type=Path, help="folder for curves and samples during training (default: none)")
PARSER.add_argument("--out", type=Path, required=True, help="model folder")

if __name__ == "__main__":
    run_stage(main, PARSER, spread=True)
