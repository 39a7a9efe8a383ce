"""summarize: the tidy table and the summary of exactly the grid's cells."""

import argparse
import sys
from pathlib import Path

from reflowbench.results.access import Results
from reflowbench.results.paired import paired
from reflowbench.results.spectra import spectra
from reflowbench.results.summary import fd_by_nfe, fd_by_round, headline, summarize
from reflowbench.results.table import gather, read_table, to_csv
from reflowbench.results.verdicts import aspects
from reflowbench.runtime.artifacts import atomic, write_json, write_text
from reflowbench.runtime.config import load_part
from reflowbench.runtime.evaluations import BASE
from reflowbench.runtime.stage import run_stage

GROUPS = ()
KEYS = ("profile", "grid", "chains")


def main(args: argparse.Namespace) -> None:
    """Gather, check for completeness, summarize."""
    params = load_part("profile", "grid", "chains", path=args.params)
    profile, grid = params.profile, params.grid
    bases = {name: f"{BASE}_{chain.base}" for name, chain in params.chains.items()}
    table, strangers = gather(args.evaluations, grid, profile, bases)
    for folder in strangers:
        print(
            f"ignored: {folder} is not a cell of the grid; delete it if it is not needed",
            file=sys.stderr,
        )
    write_text(args.out / "results.csv", to_csv(table))
    results = Results(read_table(args.out / "results.csv"))  # the numbers as every reader of the table sees them
    write_json(args.out / "summary.json", summarize(results, profile), seal=False)
    tables = {
        "fd_by_round": fd_by_round(results),
        "fd_by_nfe": fd_by_nfe(results),
        "aspects": aspects(results),
        "paired": paired(results, grid, args.evaluations, bases),
        "spectra": spectra(results, grid, args.evaluations, bases),
    }
    for name, values in tables.items():
        write_text(args.out / f"{name}.csv", to_csv(values))
    if args.metrics:
        with atomic(args.metrics) as made:  # as a whole, so that methods that the grid no longer names are gone
            for method, numbers in headline(results).items():
                write_json(made / f"{method}.json", numbers, seal=False)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--evaluations", type=Path, required=True)
PARSER.add_argument("--out", type=Path, required=True, help="folder of results.csv, summary.json and the other tables")
PARSER.add_argument("--metrics", type=Path, help="folder of the headline numbers, a file a method (default: none)")

if __name__ == "__main__":
    run_stage(main, PARSER, outputs=("out", "metrics"))
