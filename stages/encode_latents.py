"""encode_latents: the images as latents, which models are trained on in their place."""

import argparse
from pathlib import Path

from reflowbench.core.config import load_group
from reflowbench.core.data.images import ImageSet
from reflowbench.core.data.latents import encoded
from reflowbench.core.data.principal import PrincipalComponents
from reflowbench.core.device import device
from reflowbench.core.params import LatentsParams
from reflowbench.core.stage import run_stage, set_threads

GROUPS = (LatentsParams,)


def main(args: argparse.Namespace) -> None:
    """Encode every image once."""
    set_threads()
    latents = encoded(ImageSet.load(args.data), load_group(LatentsParams, args.params), device())
    latents.save(args.out)
    mean, spread = latents.real.mean().item(), latents.real.std().item()
    print(f"{len(latents)} latents of shape {latents.shape}: mean {mean:.3f}, standard deviation {spread:.3f}")
    if isinstance(latents.codec, PrincipalComponents):
        print(f"{latents.codec.explained:.1%} of the variance of the images is in these principal components")


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--out", type=Path, required=True)

if __name__ == "__main__":
    run_stage(main, PARSER)
