"""run_chain: all rounds and seeds of a chain of the ablations in one process, since starts cost more than rounds."""

import argparse
from pathlib import Path

from reflowbench.data.latents import TRAIN, open_data
from reflowbench.methods import entries, registry
from reflowbench.metrics.bench import Bench
from reflowbench.networks.model import load_facts, load_model, save_model
from reflowbench.runtime.artifacts import is_whole
from reflowbench.runtime.config import load_group
from reflowbench.runtime.device import device
from reflowbench.runtime.params import EvaluateParams, GridParams, GuardParams, LatentsParams, PairsParams, RoundParams
from reflowbench.runtime.stage import drive, run_stage, set_threads
from reflowbench.runtime.workspace import open_workspace, publish
from reflowbench.training.chain import Chain

GROUPS = (GridParams, RoundParams, GuardParams, PairsParams, EvaluateParams, LatentsParams)


def main(args: argparse.Namespace) -> None:
    """Run every seed, keeping the evaluations. What a killed run has finished is taken up."""
    set_threads()
    grid, guard = load_group(GridParams, args.params), load_group(GuardParams, args.params)
    params = load_group(RoundParams, args.params, args.chain)
    pairs = load_group(PairsParams, args.params, args.chain)
    evaluate, latents = load_group(EvaluateParams, args.params), load_group(LatentsParams, args.params)
    method, own = registry.load(args.method), registry.load_method_params(args.method, args.chain, args.params)
    images = open_data(args.space / TRAIN, latents)
    bench = Bench(args.data, args.heldout, args.space, args.features, evaluate, latents)
    cells = argparse.Namespace(**vars(args), cells=(grid.seeds, grid.rounds))
    with open_workspace(cells, params, pairs, guard, evaluate, latents, own) as workspace:
        work, out = workspace.part("chain"), workspace.part("evaluations")
        for seed in grid.seeds:
            base, network, shape = load_model(args.bases / f"s{seed}", device())
            scratch = work / f"s{seed}"
            chain = Chain(base, images, method, own, params, pairs, seed, scratch, path="round", guard=guard)
            for k in range(1, grid.rounds[-1] + 1):
                model, evaluation = scratch / f"round{k}/model", out / f"s{seed}/round{k}"
                if model.exists() and is_whole(model):
                    chain.resume(load_model(model, device())[0], k)
                else:
                    drive(chain.train_round(), f"{args.chain} seed {seed} round {k}")
                    save_model(model, chain.model, network, shape, chain.facts, lambda folder: None)
                if k in grid.rounds and not (evaluation.exists() and is_whole(evaluation)):
                    drive(measured := bench.evaluation(chain.model, seed), "evaluate")
                    bench.write(evaluation, measured, load_facts(model))
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
