"""theory_gaussian_base: base models of rectified flow on laws in closed form."""

import argparse
from pathlib import Path

from reflowbench.runtime.artifacts import atomic
from reflowbench.runtime.stage import progress, run_stage, set_threads
from reflowbench.theory.gaussian.flows import BaseJob, cells, run_base, write_results
from reflowbench.theory.params import load_theory

GROUPS = ()  # of params.yaml: none


def main(args: argparse.Namespace) -> None:
    """Train all base models; write their weights, scores and trajectories."""
    set_threads()
    params = load_theory(args.params)
    gaussian = params.theory_gaussian
    with atomic(args.out) as temporary:
        temporary.mkdir()
        jobs = [BaseJob(cell, gaussian, temporary) for cell in cells(gaussian)]
        write_results(temporary, progress(map(run_base, jobs), "base models", len(jobs)), gaussian)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--out", type=Path, required=True, help="folder of base models")

if __name__ == "__main__":
    run_stage(main, PARSER)
