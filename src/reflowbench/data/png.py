"""Images as PNG files: deterministic bytes, and nothing in them but pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reflowbench.runtime.artifacts import atomic

Bytes = NDArray[np.uint8]


def write_png(path: Path, image: Bytes) -> None:
    """Write one image as an 8-bit PNG, whole or not at all.

    Args:
        path: The file.
        image: Shape (height, width, 1) for grey or (height, width, 3) for colour.
    """
    from PIL import Image

    with atomic(path) as temporary:
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(temporary, format="PNG")


def tile(images: Bytes, columns: int, scale: int = 1, gap: int = 1) -> Bytes:
    """Lay images out in a grid, row by row.

    Args:
        images: Shape (n, height, width, channels), n at least 1.
        columns: Images per row; places left over in the last row are white.
        scale: Pixels in the grid per pixel of an image, each way.
        gap: White pixels between two images.

    Returns:
        One image, shape (rows * (height * scale + gap) - gap, columns * (width * scale + gap) - gap, channels).
    """
    n, height, width, channels = images.shape
    high, wide = height * scale + gap, width * scale + gap
    grid = np.full((-(-n // columns) * high, columns * wide, channels), 255, dtype=np.uint8)
    for i, image in enumerate(images.repeat(scale, axis=1).repeat(scale, axis=2)):
        top, left = i // columns * high, i % columns * wide
        grid[top : top + high - gap, left : left + wide - gap] = image
    return grid[: len(grid) - gap, : grid.shape[1] - gap]
