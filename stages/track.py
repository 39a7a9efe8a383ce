"""track: mirror of the pipeline in MLflow."""

import argparse
from pathlib import Path

from reflowbench.core.artifacts import write_json
from reflowbench.core.stage import run_stage
from reflowbench.tracking.sync import sync

GROUPS = ()


def main(args: argparse.Namespace) -> None:
    """Bring MLflow up to dvc.lock; write what was mirrored, but not where or when."""
    result = sync()
    print(result)
    write_json(args.receipt, {"state": result.state, "stage_runs": result.stage_runs})


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--receipt", type=Path, required=True)

if __name__ == "__main__":
    run_stage(main, PARSER)
