"""What every feature network offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.data.blocks import BLOCK, in_blocks
from reflowbench.data.packed import Rows

Array = NDArray[np.float64]


class FeatureNetwork(Protocol):
    """Maps images to the space in which distances are measured."""

    @property
    def name(self) -> str:
        """Name of the feature space, for the column `features` of the results."""
        ...

    @property
    def dim(self) -> int:
        """Values per image."""
        ...

    def features(self, images: Rows) -> Array:
        """Features of images.

        The features of an image do not depend on the images beside it, to the bit, and memory
        beyond the result does not grow with their number.

        Args:
            images: Flat, at the grey levels of the data set in [-1, 1], shape (n, channels * height * width),
                n at least 1; in memory or packed.

        Returns:
            float64 of shape (n, dim).
        """
        ...


def blockwise(
    compute: Callable[[torch.Tensor], torch.Tensor],
    images: Rows,
    size: int = BLOCK,
    device: torch.device | str = "cpu",
) -> Array:
    """Apply a network to blocks of one fixed size.

    Args:
        compute: From (size, d) to (size, k).
        images: Shape (n, d), n at least 1.
        size: Images at a time.
        device: Where the network is.

    Returns:
        float64 of shape (n, k).
    """
    with torch.inference_mode():
        parts = [compute(block.to(device))[:rows].double() for block, rows in in_blocks(images, size)]
        values: Array = torch.cat(parts).cpu().numpy()
    return values
