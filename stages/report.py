"""report: tables and figures for people."""

import argparse
from pathlib import Path

from reflowbench.core.artifacts import write_text
from reflowbench.core.config import EvaluateParams, MethodsParams, PairsParams, RoundParams, load_group
from reflowbench.core.stage import run_stage
from reflowbench.report.figures import write_figures
from reflowbench.report.markdown import Settings, render
from reflowbench.results.summary import Results
from reflowbench.results.table import read_table

GROUPS = (RoundParams, PairsParams, MethodsParams, EvaluateParams)


def main(args: argparse.Namespace) -> None:
    """Draw the figures, then write the page that shows them."""
    results = Results(read_table(args.table))
    settings = Settings(
        load_group(RoundParams), load_group(PairsParams), load_group(MethodsParams), load_group(EvaluateParams)
    )
    write_figures(results, args.evaluations, args.out / "figures")
    write_text(args.out / "report.md", render(results, settings))


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--table", type=Path, required=True)
PARSER.add_argument("--evaluations", type=Path, required=True)
PARSER.add_argument("--out", type=Path, required=True)

if __name__ == "__main__":
    run_stage(main, PARSER)
