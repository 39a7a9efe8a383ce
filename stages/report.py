"""report: tables and figures for people."""

import argparse
from pathlib import Path

from reflowbench.core.artifacts import write_text
from reflowbench.core.config import load_group, load_params
from reflowbench.core.params import EvaluateParams, PairsParams, RoundParams
from reflowbench.core.stage import run_stage
from reflowbench.report import markdown, study
from reflowbench.report.figures import write_figures
from reflowbench.results.summary import Results
from reflowbench.results.table import read_table

GROUPS = (RoundParams, PairsParams, EvaluateParams)
KEYS = ("methods", "chains")


def main(args: argparse.Namespace) -> None:
    """Draw the figures, then write the page that shows them."""
    results = Results(read_table(args.table))
    params = load_params(args.params)
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
    )
    write_figures(results, args.evaluations, args.out / "figures", study=bool(params.chains))
    page = study if params.chains else markdown
    write_text(args.out / "report.md", page.render(results, settings))


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--table", type=Path, required=True)
PARSER.add_argument("--evaluations", type=Path, required=True)
PARSER.add_argument("--out", type=Path, required=True)

if __name__ == "__main__":
    run_stage(main, PARSER)
