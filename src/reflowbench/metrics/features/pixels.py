"""Pixels as features: no network between the images and the number."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from reflowbench.data.packed import Rows
from reflowbench.metrics.features.base import blockwise


class Pixels:
    """Grey levels in [-1, 1] as they are."""

    name = "pixels"

    def __init__(self, shape: tuple[int, int, int]) -> None:
        """Take in the geometry.

        Args:
            shape: (channels, height, width).
        """
        self.dim = math.prod(shape)

    def features(self, images: Rows) -> NDArray[np.float64]:
        """The images themselves, float64 of shape (n, dim)."""
        return blockwise(lambda block: block, images)
