"""Pixels as features: no network between the images and the number."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray


class Pixels:
    """Grey levels in [-1, 1] as they are."""

    name = "pixels"

    def __init__(self, shape: tuple[int, int, int]) -> None:
        """Take in the geometry.

        Args:
            shape: (channels, height, width).
        """
        self.dim = math.prod(shape)

    def features(self, images: torch.Tensor) -> NDArray[np.float64]:
        """The images themselves, float64 of shape (n, dim)."""
        values: NDArray[np.float64] = images.double().cpu().numpy()
        return values
