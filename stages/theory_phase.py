"""theory_phase: gain of a linear denoising autoencoder after many rounds, over real share, noise and samples."""

import argparse
from itertools import chain
from pathlib import Path

from reflowbench.runtime.artifacts import write_text
from reflowbench.runtime.stage import progress, run_stage, set_threads
from reflowbench.theory.dae.tables import phase_jobs, run, to_csv
from reflowbench.theory.params import load_theory

GROUPS = ()  # of params.yaml: none


def main(args: argparse.Namespace) -> None:
    """Train all rounds of every point of the diagrams; write the table."""
    set_threads()
    params = load_theory(args.params)
    jobs = phase_jobs(params.theory_phase)
    lines = list(chain.from_iterable(progress(map(run, jobs), "phase diagrams", len(jobs))))
    write_text(args.out, to_csv(lines))


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--out", type=Path, required=True, help="CSV file")

if __name__ == "__main__":
    run_stage(main, PARSER)
