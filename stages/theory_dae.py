"""theory_dae: a linear denoising autoencoder trained on its own outputs, every setting of one noise variance."""

import argparse
from itertools import chain
from pathlib import Path

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import write_text
from reflowbench.runtime.stage import progress, run_stage, set_threads
from reflowbench.theory.dae.tables import dae_jobs, run, to_csv
from reflowbench.theory.params import load_theory

GROUPS = ()  # of params.yaml: none


def main(args: argparse.Namespace) -> None:
    """Train all rounds of every setting; write the table."""
    set_threads()
    params = load_theory(args.params)
    dae = params.theory_dae
    if args.noise not in dae.noise:
        raise ReflowbenchError(f"--noise {args.noise}: not in theory_dae.noise = {dae.noise}")
    jobs = dae_jobs(dae, args.noise)
    lines = list(chain.from_iterable(progress(map(run, jobs), f"noise {args.noise}", len(jobs))))
    write_text(args.out, to_csv(lines))


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--noise", type=float, required=True, help="q, variance of the noise")
PARSER.add_argument("--out", type=Path, required=True, help="CSV file")

if __name__ == "__main__":
    run_stage(main, PARSER)
