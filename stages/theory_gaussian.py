"""theory_gaussian: all rounds of a method on laws in closed form."""

import argparse
from functools import partial
from pathlib import Path

from reflowbench.errors import ReflowbenchError
from reflowbench.methods import entries, registry
from reflowbench.runtime.artifacts import atomic
from reflowbench.runtime.config import parse
from reflowbench.runtime.params import Group
from reflowbench.runtime.stage import progress, run_stage, set_threads
from reflowbench.theory.gaussian.flows import ChainJob, cells, run_chain, write_results
from reflowbench.theory.params import load_theory

GROUPS = ()  # of params.yaml: none


def main(args: argparse.Namespace) -> None:
    """Train the chains of all laws, dimensions and seeds; write their scores and trajectories."""
    set_threads()
    params = load_theory(args.params)
    gaussian, entry = params.theory_gaussian, params.methods.get(args.name)
    if entry is None or entry.method != args.method:
        raise ReflowbenchError(f"{args.params}: no entry methods.{args.name} of method {args.method}")
    if wrong := entries.reserved(args.name):
        raise ReflowbenchError(f"{args.params}: methods.{args.name}: {wrong}")
    method = registry.load(args.method)
    own: Group = parse(method.params, entry.params, f"methods.{args.name}.params.", str(args.params))
    jobs = [ChainJob(cell, gaussian, args.bases, args.name, own) for cell in cells(gaussian)]
    with atomic(args.out) as temporary:
        temporary.mkdir()
        results = map(partial(run_chain, method=method), jobs)
        write_results(temporary, progress(results, f"{args.name} chains", len(jobs)), gaussian)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--name", required=True, help="entry of `methods`")
PARSER.add_argument("--method", choices=entries.names(), required=True, help="its file of couplings/")
PARSER.add_argument("--bases", type=Path, required=True, help="folder of base models")
PARSER.add_argument("--out", type=Path, required=True, help="folder for the scores")

if __name__ == "__main__":
    run_stage(main, PARSER)
