"""prepare_data: the real images, scaled for training."""

import argparse
from pathlib import Path

from reflowbench.core.config import load_group, load_params
from reflowbench.core.params import DataParams
from reflowbench.core.stage import run_stage
from reflowbench.couplings.shared import registry
from reflowbench.sources.load import load_images

GROUPS = (DataParams,)


def main(args: argparse.Namespace) -> None:
    """Check all parameters, since this stage comes first; read the source and write both parts."""
    registry.check(load_params(args.params), str(args.params))
    train, heldout = load_images(load_group(DataParams, args.params))
    train.save(args.out)
    heldout.save(args.heldout)
    print(f"{len(train)} images of shape {train.shape} in {train.classes} classes, and {len(heldout)} held out")


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--out", type=Path, required=True)
PARSER.add_argument("--heldout", type=Path, required=True, help="where the held-out images go")

if __name__ == "__main__":
    run_stage(main, PARSER, outputs=("out", "heldout"))
