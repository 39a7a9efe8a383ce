"""prepare_data: the real images, scaled for training."""

import argparse
from pathlib import Path

from reflowbench.core.config import DataParams, load_group
from reflowbench.core.data.sources import load_images
from reflowbench.core.stage import run_stage

GROUPS = (DataParams,)


def main(args: argparse.Namespace) -> None:
    """Read the source and write one safetensors file."""
    images = load_images(load_group(DataParams))
    images.save(args.out)
    print(f"{len(images)} images of shape {images.shape}, {images.classes} classes")


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--out", type=Path, required=True)

if __name__ == "__main__":
    run_stage(main, PARSER)
