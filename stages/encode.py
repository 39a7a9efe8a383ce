"""encode: the images in the space that models work in, as they are or as latents."""

import argparse
import shutil
from pathlib import Path

from reflowbench.data.images import ImageSet
from reflowbench.data.latents import encoded
from reflowbench.data.principal import PrincipalComponents
from reflowbench.runtime.artifacts import atomic
from reflowbench.runtime.config import load_group
from reflowbench.runtime.device import device
from reflowbench.runtime.params import LatentsParams
from reflowbench.runtime.stage import run_stage, set_threads

GROUPS = (LatentsParams,)


def main(args: argparse.Namespace) -> None:
    """Encode every image once; pixels are copied."""
    set_threads()
    params = load_group(LatentsParams, args.params)
    images = ImageSet.load(args.data)  # a damaged or missing file is named also where it is only copied
    if params.kind == "none":
        with atomic(args.out) as temporary:
            shutil.copyfile(args.data, temporary)
        return
    latents = encoded(images, params, device())
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
