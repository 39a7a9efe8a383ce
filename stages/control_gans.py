"""control_gans: mode metrics on GANs that lose modes and on Reflow beside them."""

import argparse
from pathlib import Path

from reflowbench.controls.gans.flows import ReflowChain
from reflowbench.controls.gans.gan import GanTrainer
from reflowbench.controls.gans.mixtures import Mixture, mixture
from reflowbench.controls.gans.params import GansParams
from reflowbench.controls.gans.report import Collected, write_report
from reflowbench.core.randomness import generator
from reflowbench.runtime.artifacts import scratch_folder
from reflowbench.runtime.config import parse, read_yaml
from reflowbench.runtime.stage import drive, run_stage, set_threads

GROUPS = ()  # of params.yaml: none; the group `gans` is in a file of its own


def run_mixture(truth: Mixture, params: GansParams, scratch: Path, collected: Collected) -> None:
    """Train and score every generator on one mixture."""
    n = params.n_samples
    for seed in params.seeds:
        collected.add(truth, truth.sample(n, generator(seed, f"real {truth.name}"))[0], "real", seed, nfe=0)
        collected.add(truth, truth.blob(n, generator(seed, f"blob {truth.name}")), "blob", seed, nfe=0)
    for variant in params.variants:
        trainer = GanTrainer(truth, variant, params.gan, params.seeds)
        drive(trainer, f"{truth.name} {variant}")
        for seed, samples in zip(params.seeds, trainer.sample(n), strict=True):
            collected.add(truth, samples, variant, seed)
    for seed in params.seeds:
        chain = ReflowChain(truth, params.flow, seed, scratch / truth.name / f"s{seed}")
        drive(chain, f"{truth.name} reflow seed {seed}")
        for nfe in params.flow.nfe:
            for k in range(params.flow.rounds + 1):
                collected.add(truth, chain.sample(k, nfe, n), "reflow", seed, k, nfe)


def main(args: argparse.Namespace) -> None:
    """Run all mixtures and write the table, the report and the figure."""
    set_threads()
    params = parse(GansParams, read_yaml(args.params).get("gans"), "gans.", str(args.params))
    collected = Collected([], {})
    with scratch_folder() as scratch:
        for name in params.mixtures:
            run_mixture(mixture(name), params, scratch, collected)
    write_report(collected, params, args.table, args.report, args.figure)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--table", type=Path, required=True, help="CSV file")
PARSER.add_argument("--report", type=Path, required=True, help="Markdown file")
PARSER.add_argument("--figure", type=Path, required=True, help="PNG file, below the report's folder")

if __name__ == "__main__":
    run_stage(main, PARSER, outputs=("table", "report", "figure"))
