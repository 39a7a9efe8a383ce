"""evaluate: all metrics of one model at every NFE; of the base model also what real images score."""

import argparse
from pathlib import Path

from reflowbench.metrics.bench import Bench
from reflowbench.networks.model import load_facts, load_model
from reflowbench.runtime.config import load_group
from reflowbench.runtime.device import device
from reflowbench.runtime.distributed import world
from reflowbench.runtime.params import EvaluateParams, LatentsParams
from reflowbench.runtime.resume import Resumable
from reflowbench.runtime.stage import drive, run_stage, set_threads
from reflowbench.runtime.workspace import open_workspace

GROUPS = (EvaluateParams, LatentsParams)


def main(args: argparse.Namespace) -> None:
    """Measure the model; write the numbers and a grid of samples."""
    set_threads()
    params, latents = load_group(EvaluateParams, args.params), load_group(LatentsParams, args.params)
    bench = Bench(args.data, args.heldout, args.space, args.features, params, latents)
    evaluation = bench.evaluation(load_model(args.model, device())[0], args.seed)
    with open_workspace(args, params, latents) as workspace:
        drive(Resumable(evaluation, workspace), "evaluate")
        if world().first:
            bench.write(args.out, evaluation, load_facts(args.model), real=args.floor)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--seed", type=int, required=True)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--heldout", type=Path, required=True, help="images that no model was trained on")
PARSER.add_argument("--space", type=Path, required=True, help="folder of what models are trained on: images or latents")
PARSER.add_argument("--features", type=Path, required=True)
PARSER.add_argument("--model", type=Path, required=True, help="model folder")
PARSER.add_argument("--floor", action="store_true", help="measure real images against real images too")
PARSER.add_argument("--out", type=Path, required=True, help="evaluation folder")

if __name__ == "__main__":
    run_stage(main, PARSER, spread=True)
