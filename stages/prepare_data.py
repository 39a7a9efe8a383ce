"""prepare_data: the real images, scaled for training."""

import argparse
from pathlib import Path

from reflowbench.runtime.config import load_group
from reflowbench.runtime.params import DataParams
from reflowbench.runtime.stage import run_stage
from reflowbench.sources.load import load_images

GROUPS = (DataParams,)


def main(args: argparse.Namespace) -> None:
    """Read the source and write both parts."""
    train, heldout = load_images(load_group(DataParams, args.params))
    train.save(args.out)
    heldout.save(args.heldout)
    print(f"{len(train)} images of shape {train.shape} in {train.classes} classes, and {len(heldout)} held out")


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--out", type=Path, required=True)
PARSER.add_argument("--heldout", type=Path, required=True, help="where the held-out images go")

if __name__ == "__main__":
    run_stage(main, PARSER, outputs=("out", "heldout"))
