"""track: mirror of the pipeline in MLflow."""

import argparse
import sys
from pathlib import Path

from reflowbench.runtime.artifacts import write_json
from reflowbench.runtime.stage import run_stage
from reflowbench.tracking.lock import read_lock, state_hash
from reflowbench.tracking.store import StoreError, find_workspace
from reflowbench.tracking.sync import sync

GROUPS = ()


def main(args: argparse.Namespace) -> None:
    """Bring MLflow up to dvc.lock; write what was mirrored, but not where or when."""
    entries = read_lock(find_workspace())
    try:
        print(sync())
    except StoreError as error:  # results must not wait for a server
        print(f"WARNING: {error}", file=sys.stderr)
    write_json(args.receipt, {"state": state_hash(entries), "stage_runs": len(entries)}, seal=False)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--receipt", type=Path, required=True)

if __name__ == "__main__":
    run_stage(main, PARSER, outputs=("receipt",))
