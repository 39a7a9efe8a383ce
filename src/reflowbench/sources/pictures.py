"""Image files of one size as tensors; what they are is pinned by a checksum before any of them is decoded."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch

from reflowbench.data.png import Bytes
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.config import shortened
from reflowbench.sources.archive import check_pinned, faults_of, read_files

if TYPE_CHECKING:
    from PIL.Image import Image

LEVELS = 256
PIXELS = 2**22
"""Of one image: 2048 x 2048."""
VALUES = 2**30
"""Of all images, decoded, a byte each."""
SCANS = 100
"""Of one JPEG, which repeats its whole work for 16 bytes more; progressive ones have about ten."""
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA")


def read_images(
    path: Path, sha256: str | None, times: int = 1
) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int, int]]:
    """Read images that are all of one size.

    They become grey if all of them are, and RGB otherwise; transparency is dropped, and so is what follows the first
    picture of an animation. The class of an image is the name of the folder that it is in, in order of these names.

    Args:
        path: A folder, .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz.
        sha256: What `digest` gives for its files; None gets the error that says it.
        times: How many times the limits on all files together may be reached (`data.limit_gib`).

    Returns:
        Levels 0 .. 255 in order of the files' names, uint8 of shape (n, channels * height * width); class labels,
        int64 of shape (n,); and (channels, height, width).

    Raises:
        ReflowbenchError: If the files are not those of the checksum, `read_files` refuses them, or one of them is
            damaged, too large, of another size or not 8-bit grey or colour.
    """
    files = read_files(path, times=times)
    check_pinned(files, sha256, path)
    shape = _shape(path, files, times * VALUES)
    pixels = np.empty((len(files), *shape), dtype=np.uint8)
    for row, (name, data) in enumerate(files.items()):
        pixels[row] = _pixels(path, name, data, shape)
    folders = [PurePosixPath(name).parent.name for name in files]
    classes = {folder: label for label, folder in enumerate(sorted(set(folders)))}
    labels = torch.tensor([classes[folder] for folder in folders], dtype=torch.int64)
    return torch.from_numpy(pixels).flatten(1), labels, shape


@contextlib.contextmanager
def _opened(path: Path, name: str, data: bytes) -> Iterator[Image]:
    """Open an image, which reads its header only; whatever goes wrong until it is closed counts as damage."""
    from PIL import Image

    with faults_of(f"{path}: {name}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of oddities in what is no pixel, such as EXIF data
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            yield image


def _shape(path: Path, files: dict[str, bytes], most: int) -> tuple[int, int, int]:
    """(channels, height, width) from the headers of all images, before one of them is decoded.

    Returns:
        The shape that all images have.

    Raises:
        ReflowbenchError: If they are too large, of two sizes, or not 8-bit grey or colour.
    """
    first, size, grey = next(iter(files)), (0, 0), True
    for name, data in files.items():
        with _opened(path, name, data) as image:
            mode, (width, height) = image.mode, image.size
        where = f"{path}: {name}"
        if width * height > PIXELS:
            raise ReflowbenchError(f"{where}: {width} x {height} pixels; want at most {PIXELS} in all")
        if mode not in _GREY + _COLOUR:
            raise ReflowbenchError(f"{where}: an image of mode {shortened(mode)}; want 8-bit grey or RGB")
        if data.count(b"\xff\xda") > SCANS and data.startswith(b"\xff\xd8"):
            raise ReflowbenchError(f"{where}: a JPEG of more than {SCANS} scans; save it anew")
        size = size if name != first else (width, height)
        if (width, height) != size:
            other = f"{first} has {size[0]} x {size[1]}"
            raise ReflowbenchError(f"{where}: {width} x {height} pixels, but {other}; want images of one size")
        grey = grey and mode in _GREY
    shape = (1 if grey else 3, size[1], size[0])
    values = len(files) * int(np.prod(shape))
    if values > most:
        raise ReflowbenchError(
            f"{path}: {values} values in {len(files)} images of {shape}; want at most {most}, or raise data.limit_gib"
        )
    return shape


def _pixels(path: Path, name: str, data: bytes, shape: tuple[int, int, int]) -> Bytes:
    """Decode an image, shape (channels, height, width)."""
    channels, height, width = shape
    with _opened(path, name, data) as image:
        values: Bytes = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        return values.reshape(height, width, channels).transpose(2, 0, 1)
