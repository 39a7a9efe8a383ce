"""theory_gaussian: all rounds of a method on laws in closed form."""

import argparse
from functools import partial
from pathlib import Path

from reflowbench.core.artifacts import atomic
from reflowbench.core.config import load_group
from reflowbench.core.parallel import in_parallel
from reflowbench.core.params import TheoryGaussianParams
from reflowbench.core.stage import progress, run_stage, set_threads
from reflowbench.couplings.shared import registry
from reflowbench.theory.gaussian.flows import ChainJob, Result, cells, run_chain, write_results

GROUPS = (TheoryGaussianParams,)


def work(args: argparse.Namespace, job: ChainJob) -> Result:
    """Run one chain; the method is loaded where it runs."""
    return run_chain(job, registry.load_entry(args.method, args.params, args.coupling))


def main(args: argparse.Namespace) -> None:
    """Train the chains of all laws, dimensions and seeds; write their scores and trajectories."""
    set_threads()
    params = load_group(TheoryGaussianParams, args.params)
    own = registry.load_theory_params(args.method, args.params)
    jobs = [ChainJob(cell, params, args.bases, args.method, own) for cell in cells(params)]
    with atomic(args.out) as temporary:
        temporary.mkdir()
        write_results(
            temporary, progress(in_parallel(partial(work, args), jobs), f"{args.method} chains", len(jobs)), params
        )


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--method", required=True, help="entry of `methods`")
PARSER.add_argument("--coupling", type=Path, help="record of the method's code (default: none is checked)")
PARSER.add_argument("--bases", type=Path, required=True, help="folder of base models")
PARSER.add_argument("--out", type=Path, required=True, help="folder for the scores")

if __name__ == "__main__":
    run_stage(main, PARSER)
