"""How many images of which shape a profile has: those of its files, or what is known of them before that."""

from __future__ import annotations

from pathlib import Path

import torch

from reflowbench.data.images import ImageSet
from reflowbench.data.latents import Codec
from reflowbench.data.packed import PackedImages
from reflowbench.errors import ReflowbenchError
from reflowbench.networks.base import Shape
from reflowbench.runtime.params import SOURCES_WITHOUT_PATH, DataParams, LatentsParams
from reflowbench.sources.load import load_images

PUBLISHED = {
    "cifar10": (50_000, 10_000, (3, 32, 32)),
    "mnist": (60_000, 10_000, (1, 28, 28)),
    "fashion": (60_000, 10_000, (1, 28, 28)),
}
"""Images to train on, test images, and their shape."""
_CLASSES = 10
_LATENT_CHANNELS, _LATENT_FACTOR = 4, 8
"""Of Stable Diffusion's autoencoder."""


def sets_of(params: DataParams, given: tuple[int, ...] | None) -> tuple[ImageSet, ImageSet, list[str]]:
    """The images to train on and those held out.

    Args:
        params: Of the data.
        given: Number, channels, height and width of all images, in place of those of the files.

    Returns:
        Both sets, without values if they are assumed, and what was assumed, a sentence each.

    Raises:
        ReflowbenchError: If the files are not there and nothing is known of them.
    """
    here = params.source in SOURCES_WITHOUT_PATH or Path(params.path or "").exists()
    if here and not given:
        return *load_images(params), []
    if given:
        count, *size = given
        tests, shape = 0, (size[0], size[1], size[2])
    elif params.source in PUBLISHED:
        count, tests, shape = PUBLISHED[params.source]
    else:
        raise ReflowbenchError(
            f"data.path = {params.path!r} is not there yet: say by --images how many images of which shape it will "
            "have, such as 30000x3x256x256"
        )
    if params.n_images is not None:
        count = min(count, params.n_images)
    heldout = tests if params.heldout is None else int(params.heldout * count)
    train = count if params.heldout is None else count - heldout
    why = "--images" if given else f"{params.path} is not there yet"
    assumed = f"Assumed ({why}): {train:,} + {heldout:,} images of {'x'.join(map(str, shape))}, {_CLASSES} classes."
    return _blank(train, shape, params.dequantize), _blank(max(1, heldout), shape, params.dequantize), [assumed]


def _blank(n: int, shape: Shape, dequantize: bool) -> ImageSet:
    """Images of 256 grey levels, without memory for their values."""
    levels = torch.empty(n, shape[0] * shape[1] * shape[2], dtype=torch.uint8, device="meta")
    packed = PackedImages(levels, 256, torch.empty_like(levels) if dequantize else None)
    return ImageSet(packed, torch.arange(_CLASSES), shape, 256, dequantize)


def space_of(params: LatentsParams, shape: Shape) -> tuple[Shape, list[str]]:
    """Shape of what models work on.

    Args:
        params: Of the autoencoder.
        shape: (channels, height, width) of the images.

    Returns:
        The shape, and what was assumed.
    """
    if params.kind == "pca":
        return (params.components or 0, 1, 1), []
    if not params.path:
        return shape, []
    if Path(params.path).exists():
        return Codec(params).shape_of(shape), []
    _, height, width = shape
    found = (_LATENT_CHANNELS, height // _LATENT_FACTOR, width // _LATENT_FACTOR)
    return found, [f"Assumed ({params.path} is not there yet): latents of {'x'.join(map(str, found))}."]
