"""train_base: rectified flow on the independent coupling (round 0)."""

import argparse
from pathlib import Path

from reflowbench.core.config import BaseParams, NetworkParams, load_group
from reflowbench.core.data.images import ImageSet
from reflowbench.core.networks import registry
from reflowbench.core.networks.model import save_model
from reflowbench.core.stage import drive, run_stage, set_threads
from reflowbench.couplings.base import Round
from reflowbench.couplings.independent import Independent
from reflowbench.training.loop import Trainer

GROUPS = (NetworkParams, BaseParams)


def main(args: argparse.Namespace) -> None:
    """Train from scratch and write the EMA weights."""
    set_threads()
    network_params, params = load_group(NetworkParams), load_group(BaseParams)
    data = ImageSet.load(args.data)
    network = registry.build(network_params, data.dim, args.seed)
    coupling = Independent(Round(args.seed, 0, params.batch, data))
    trainer = Trainer(network, coupling, params, args.seed, round_=0)
    drive(trainer, f"base seed {args.seed}")
    save_model(args.out, trainer.ema, network_params, data.dim, trainer.facts())


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--seed", type=int, required=True)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--out", type=Path, required=True, help="model folder")

if __name__ == "__main__":
    run_stage(main, PARSER)
