"""report: tables, figures and an interactive page for people."""

import argparse
from pathlib import Path

import pandas as pd

from reflowbench.report import ablations, markdown
from reflowbench.report.figures import write_figures, write_overview
from reflowbench.report.page import page as interactive
from reflowbench.results.access import Results
from reflowbench.results.partial import complete
from reflowbench.results.table import read_table
from reflowbench.runtime.artifacts import write_text
from reflowbench.runtime.config import load_group, load_part
from reflowbench.runtime.params import EvaluateParams, LatentsParams, PairsParams, RoundParams
from reflowbench.runtime.stage import run_stage

GROUPS = (RoundParams, PairsParams, EvaluateParams, LatentsParams)
KEYS = ("methods", "chains")


def main(args: argparse.Namespace) -> None:
    """Draw the figures, then write the pages that show them."""
    results = Results(complete(read_table(args.results / "results.csv")))
    params = load_part("methods", "chains", path=args.params)
    blocks = params.methods | {
        name: {
            "method": c.method,
            "base": c.base,
            **params.methods[c.method],
            **c.params,
            "round": c.round,
            "pairs": c.pairs,
        }
        for name, c in params.chains.items()
    }
    settings = markdown.Settings(
        load_group(RoundParams, args.params),
        load_group(PairsParams, args.params),
        load_group(EvaluateParams, args.params),
        {method: blocks[method] for method in results.methods},
        load_group(LatentsParams, args.params),
    )
    figures = args.out / "figures"
    if params.chains:
        write_overview(results, ablations.bases(results, settings), figures)
        page = ablations.render(results, settings)
    else:
        tables = [args.results / f"{name}.csv" for name in ("results", "spectra", "paired")]
        spectra, paired = map(pd.read_csv, tables[1:])
        write_figures(results, args.evaluations, spectra, figures)
        page = markdown.render(results, settings, paired)
        write_text(args.out / "index.html", interactive.render(results, settings, spectra, args.evaluations, tables))
    write_text(args.out / "report.md", page)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--results", type=Path, required=True, help="folder that `summarize` wrote")
PARSER.add_argument("--evaluations", type=Path, required=True)
PARSER.add_argument("--out", type=Path, required=True)

if __name__ == "__main__":
    run_stage(main, PARSER)
