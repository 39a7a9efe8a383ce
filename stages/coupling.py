"""coupling: which coupling an entry of `methods` names, and the hashes of its code, for its training stages."""

import argparse
from pathlib import Path

from reflowbench.core.artifacts import write_json
from reflowbench.core.config import load_params
from reflowbench.core.stage import run_stage
from reflowbench.couplings.shared import entries

GROUPS = ()


def main(args: argparse.Namespace) -> None:
    """Write the record: the same bytes unless the entry's method or its code has changed."""
    params = load_params(args.params)
    coupling, _ = entries.split(params.methods, args.method, str(args.params))
    write_json(args.out, entries.record(coupling))


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--method", required=True, help="entry of `methods`")
PARSER.add_argument("--out", type=Path, required=True, help="JSON file")

if __name__ == "__main__":
    run_stage(main, PARSER)
