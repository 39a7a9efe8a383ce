"""k0: a chain's round 0 is the base model of its seed, byte for byte."""

import argparse
import shutil
from pathlib import Path

from reflowbench.core.artifacts import atomic
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.stage import run_stage

GROUPS = ()


def main(args: argparse.Namespace) -> None:
    """Copy the model folder."""
    if not args.base.is_dir():
        raise ReflowbenchError(f"{args.base}: no such model folder; `dvc repro` makes it")
    with atomic(args.out) as temporary:
        shutil.copytree(args.base, temporary)


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--base", type=Path, required=True, help="model folder")
PARSER.add_argument("--out", type=Path, required=True, help="model folder")

if __name__ == "__main__":
    run_stage(main, PARSER)
