"""What a source gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Found:
    """Images of a source, in an order that `data.n_images` may cut anywhere.

    Attributes:
        levels: Grey levels from 0, integers of shape (n, channels * height * width).
        labels: Classes, int64 of shape (n,).
        shape: (channels, height, width).
        count: Number of grey levels.
        tests: How many of the images, the last ones, are the source's own test set.
    """

    levels: torch.Tensor
    labels: torch.Tensor
    shape: tuple[int, int, int]
    count: int
    tests: int = 0
