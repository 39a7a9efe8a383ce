"""summarize: the tidy table and the summary of exactly the grid's cells."""

import argparse
import sys
from pathlib import Path

from reflowbench.core.artifacts import write_json, write_text
from reflowbench.core.config import load_group, load_params
from reflowbench.core.evaluations import BASE
from reflowbench.core.params import GridParams
from reflowbench.core.stage import run_stage
from reflowbench.results.summary import Results, fd_by_round, summarize
from reflowbench.results.table import gather, read_table, to_csv

GROUPS = (GridParams,)
KEYS = ("profile", "chains")


def main(args: argparse.Namespace) -> None:
    """Gather, check for completeness, summarize."""
    params = load_params(args.params)
    profile = params.profile
    bases = {name: f"{BASE}_{chain.base}" for name, chain in params.chains.items()}
    table, strangers = gather(args.evaluations, load_group(GridParams, args.params), profile, bases)
    for folder in strangers:
        print(
            f"ignored: {folder} is not a cell of the grid; delete it if it is not needed",
            file=sys.stderr,
        )
    write_text(args.table, to_csv(table))
    results = Results(read_table(args.table))  # the numbers as every reader of the table sees them
    write_json(args.summary, summarize(results, profile))
    write_text(args.curves, to_csv(fd_by_round(results)))


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--evaluations", type=Path, required=True)
PARSER.add_argument("--table", type=Path, required=True)
PARSER.add_argument("--summary", type=Path, required=True)
PARSER.add_argument("--curves", type=Path, required=True)

if __name__ == "__main__":
    run_stage(main, PARSER)
