"""The image set that stages exchange: flat float32 images in [-1, 1] with labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from reflowbench.core.artifacts import read_tensors, write_tensors
from reflowbench.core.errors import ReflowbenchError


@dataclass(frozen=True)
class ImageSet:
    """Real images.

    Attributes:
        images: Shape (n, channels * height * width), float32 in [-1, 1].
        labels: Shape (n,), int64 class of each image.
        shape: (channels, height, width).
        levels: Number of grey levels of the source.
        dequantized: Whether each pixel is spread uniformly over its grey level.
    """

    images: torch.Tensor
    labels: torch.Tensor
    shape: tuple[int, int, int]
    levels: int
    dequantized: bool

    def __len__(self) -> int:
        return len(self.images)

    @property
    def dim(self) -> int:
        """Values per image."""
        return math.prod(self.shape)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    def quantize(self, images: torch.Tensor) -> torch.Tensor:
        """Round images of a model to the grey levels of the source, as writing them to a file would.

        Args:
            images: Shape (n, dim), nominally in [-1, 1].

        Returns:
            The images with each pixel at one of `levels` values evenly spaced from -1 to 1.
        """
        unit = (images.clamp(-1, 1) + 1) / 2
        level = (unit * self.levels).floor() if self.dequantized else (unit * (self.levels - 1)).round()
        return level.clamp(0, self.levels - 1) / (self.levels - 1) * 2 - 1

    @cached_property
    def real(self) -> torch.Tensor:
        """The images rounded to grey levels: the reference of every metric, shape (n, dim)."""
        return self.quantize(self.images)

    def save(self, path: Path) -> None:
        """Write the set as one safetensors file."""
        tensors = {"images": self.images, "labels": self.labels}
        write_tensors(path, tensors, self._facts())

    def _facts(self) -> dict[str, object]:
        return {"shape": list(self.shape), "levels": self.levels, "dequantized": self.dequantized}

    @classmethod
    def load(cls, path: Path) -> ImageSet:
        """Read a set written by `save`.

        Raises:
            ReflowbenchError: If the file is missing or damaged.
        """
        tensors, facts = read_tensors(path)
        try:
            facts["shape"] = tuple(facts["shape"])
            loaded = cls(tensors["images"], tensors["labels"], **facts)
        except (KeyError, TypeError) as error:
            raise ReflowbenchError(f"{path}: not an image set ({error}); delete it and run `dvc repro`") from None
        if loaded.images.shape != (len(loaded.labels), loaded.dim):
            raise ReflowbenchError(f"{path}: images and labels do not match; delete it and run `dvc repro`")
        return loaded
