"""generate_pairs: synthetic pairs of a round, from the weights that the round starts from."""

import argparse
import math
from pathlib import Path

from reflowbench.networks.model import load_model
from reflowbench.pairs.generate import synthetic_pairs
from reflowbench.pairs.store import PairWriter
from reflowbench.runtime.config import load_group
from reflowbench.runtime.device import device
from reflowbench.runtime.params import PairsParams
from reflowbench.runtime.resume import Resumable
from reflowbench.runtime.stage import drive, run_stage, set_threads
from reflowbench.runtime.workspace import open_workspace, publish

GROUPS = (PairsParams,)


def main(args: argparse.Namespace) -> None:
    """Solve the flow forward from fresh noise."""
    set_threads()
    params = load_group(PairsParams, args.params)
    network, _, shape = load_model(args.model, device())
    manifest, blocks = synthetic_pairs(network, params, args.seed, args.round, math.prod(shape))
    with open_workspace(args, params) as workspace:
        made = workspace.part("pairs")
        drive(Resumable(PairWriter(made, manifest, blocks), workspace), "pairs")
        publish(made, args.out)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--seed", type=int, required=True)
PARSER.add_argument("--round", type=int, required=True, help="round that will train on the pairs")
PARSER.add_argument("--model", type=Path, required=True, help="model folder of the round before")
PARSER.add_argument("--out", type=Path, required=True, help="pair folder")

if __name__ == "__main__":
    run_stage(main, PARSER, spread=True)
