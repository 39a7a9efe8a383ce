"""theory_report: closed forms laid over what the theory stages measured."""

import argparse
from pathlib import Path

import pandas as pd

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import read_tensors, write_text
from reflowbench.runtime.stage import run_stage
from reflowbench.theory.params import load_theory
from reflowbench.theory.report.figures import write_figures
from reflowbench.theory.report.flows import Flows
from reflowbench.theory.report.page import render
from reflowbench.theory.report.rounds import chains

GROUPS = ()  # of params.yaml: none
BASE = "base"


def main(args: argparse.Namespace) -> None:
    """Join the tables, draw the figures, write the page that shows them."""
    params = load_theory(args.params)
    dae, phases = params.theory_dae, params.theory_phase
    folders = {name: args.flows / name for name in (BASE, *params.methods)}
    measured = sorted(args.dae.glob("q*.csv"))  # of earlier noise variances, too
    if not measured:
        raise ReflowbenchError(f"{args.dae}: no tables q*.csv in it; `make theory` makes them")
    rounds = pd.concat(map(pd.read_csv, measured))
    tables = {
        "dae": pd.concat([rounds[rounds["noise"] == noise] for noise in dae.noise]),
        "phase": pd.read_csv(args.phase),
        "flows": pd.concat([pd.read_csv(folder / "scores.csv") for folder in folders.values()]),
    }
    paths = {name: read_tensors(folder / "trajectories.safetensors")[0] for name, folder in folders.items()}
    found, flows = chains(tables["dae"], dae), Flows(tables["flows"], params.theory_gaussian)
    page = render(found, tables["phase"], phases, flows)
    write_figures(args.out / "figures", found, tables["phase"], phases, flows, paths)
    for name, table in tables.items():
        write_text(args.out / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    write_text(args.out / "report.md", page)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--dae", type=Path, required=True, help="folder of the linear autoencoder's tables")
PARSER.add_argument("--phase", type=Path, required=True, help="table of the phase diagrams")
PARSER.add_argument("--flows", type=Path, required=True, help="folder of the flows: base and a folder per method")
PARSER.add_argument("--out", type=Path, required=True)

if __name__ == "__main__":
    run_stage(main, PARSER)
