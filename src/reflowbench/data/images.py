"""The image set that stages exchange: flat images in [-1, 1] with labels, float32 or packed in bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.data.packed import PackedImages, Rows
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import read_tensors, write_tensors


def to_bytes(images: torch.Tensor, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """What 8-bit files of images would hold.

    Args:
        images: Flat, at grey levels in [-1, 1], shape (n, channels * height * width).
        shape: (channels, height, width).

    Returns:
        Shape (n, height, width, channels). -1 is 0 and 1 is 255.
    """
    # The middle of two bytes, like level 8 of 0 .. 16, is rounded up, and must be whatever float32 made of it. Up to
    # 256 levels, any other level is further than 1 / 510 from such a middle: 0.001 turns no other byte.
    grey = ((images.double() + 1) * 127.5 + 0.501).floor().clamp(0, 255).to(torch.uint8)
    values: NDArray[np.uint8] = grey.reshape(-1, *shape).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return values


def rgb_bytes(images: torch.Tensor, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """What a reader that wants colour makes of 8-bit files of images: grey is repeated.

    Args:
        images: Flat, at grey levels in [-1, 1], shape (n, channels * height * width).
        shape: (channels, height, width).

    Returns:
        Shape (n, height, width, 3).

    Raises:
        ReflowbenchError: If the images are neither grey nor colour.
    """
    if shape[0] not in (1, 3):
        raise ReflowbenchError(f"images with {shape[0]} channels are neither grey (1) nor colour (3)")
    return to_bytes(images, shape).repeat(3 // shape[0], axis=3)


@dataclass(frozen=True)
class ImageSet:
    """Real images.

    Attributes:
        images: Shape (n, channels * height * width), in [-1, 1]; packed if the source has 256 grey levels.
        labels: Shape (n,), int64 class of each image.
        shape: (channels, height, width).
        levels: Number of grey levels of the source.
        dequantized: Whether each pixel is spread uniformly over its grey level.
    """

    images: Rows
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
        return self._at(level.clamp(0, self.levels - 1))

    def pack(self, images: torch.Tensor) -> PackedImages:
        """Store images at grey levels, as `quantize` gives them, in a byte a value; nothing is lost."""
        level = ((images.double() + 1) / 2 * (self.levels - 1)).round()
        return PackedImages(level.to(torch.uint8), self.levels)

    def _at(self, level: torch.Tensor) -> torch.Tensor:
        return level / (self.levels - 1) * 2 - 1

    def to_bytes(self, images: Rows) -> NDArray[np.uint8]:
        """What 8-bit files of images would hold; up to 256 levels, nothing is lost.

        Args:
            images: At grey levels, as `quantize` and `real` give them, shape (n, dim).

        Returns:
            Shape (n, height, width, channels).
        """
        return to_bytes(images[:], self.shape)

    def from_bytes(self, values: NDArray[np.uint8]) -> torch.Tensor:
        """Undo `to_bytes`, to the bit.

        Args:
            values: Shape (n, height, width, channels).

        Returns:
            Images at grey levels, float32 of shape (n, dim).
        """
        flat = torch.tensor(values).permute(0, 3, 1, 2).reshape(-1, self.dim)
        return self._at((flat.double() * (self.levels - 1) / 255).round().float())

    @cached_property
    def real(self) -> Rows:
        """The images rounded to grey levels: the reference of every metric, shape (n, dim)."""
        return self.images.real if isinstance(self.images, PackedImages) else self.quantize(self.images)

    def save(self, path: Path) -> None:
        """Write the set as one safetensors file."""
        tensors = {"labels": self.labels}
        if isinstance(self.images, PackedImages):
            tensors |= {"levels": self.images.levels}
            tensors |= {} if self.images.spread is None else {"spread": self.images.spread}
        else:
            tensors |= {"images": self.images}
        write_tensors(path, tensors, self._facts())

    def _facts(self) -> dict[str, object]:
        return {"shape": list(self.shape), "levels": self.levels, "dequantized": self.dequantized}

    @classmethod
    def load(cls, path: Path) -> ImageSet:
        """Read a set written by `save`.

        Returns:
            The set, as it was saved.

        Raises:
            ReflowbenchError: If the file is missing or damaged.
        """
        return cls.made_of(path, *read_tensors(path))

    @classmethod
    def made_of(cls, path: Path, tensors: Mapping[str, torch.Tensor], facts: dict[str, Any]) -> ImageSet:
        """Make the set of what its file holds.

        Args:
            path: The file, for errors.
            tensors: Its tensors.
            facts: Its metadata.

        Returns:
            The set.

        Raises:
            ReflowbenchError: If it is not what `save` wrote.
        """
        try:
            facts["shape"] = tuple(facts["shape"])
            if "levels" in tensors:
                images: Rows = PackedImages(tensors["levels"], facts["levels"], tensors.get("spread"))
            else:
                images = tensors["images"]
            loaded = cls(images, tensors["labels"], **facts)
        except (KeyError, TypeError) as error:
            raise ReflowbenchError(f"{path}: not an image set ({error}); delete it and run `dvc repro`") from None
        if fault := loaded._fault():
            raise ReflowbenchError(f"{path}: {fault}; delete it and run `dvc repro`")
        return loaded

    def _fault(self) -> str:
        """What no set that was saved has; empty if all is right."""
        packed = self.images if isinstance(self.images, PackedImages) else None
        own, wanted = (packed.levels.dtype, torch.uint8) if packed else (self.images[:0].dtype, torch.float32)
        if (own, self.labels.dtype) != (wanted, torch.int64):
            return f"images of {own} and labels of {self.labels.dtype} where {wanted} and int64 belong"
        if not len(self.labels) or self.images.shape != (len(self.labels), self.dim):
            return f"images and labels do not match: {tuple(self.images.shape)} values, {len(self.labels)} labels"
        if packed:
            if fault := _packed_fault(packed, self.dequantized):
                return fault
        elif isinstance(self.images, torch.Tensor):
            low, high = self.images.aminmax()
            if not (low >= -1 and high <= 1):  # nor of NaN
                return f"images from {low} to {high} where -1 to 1 belongs"
        return "" if self.labels.min() >= 0 else "labels below 0"


def _packed_fault(packed: PackedImages, dequantized: bool) -> str:
    """What no packed images have that were saved; of 256 levels every byte is one, so that none need be read."""
    spread = packed.spread
    if (spread is not None) != dequantized:
        return "pixels spread over their grey levels or not, against what it says"
    if spread is not None and (spread.shape, spread.dtype) != (packed.shape, torch.uint8):
        return f"a spread of {tuple(spread.shape)} values of {spread.dtype} for {tuple(packed.shape)} of uint8"
    if packed.count != 256:
        return f"{packed.count} grey levels in bytes, where only 256 are saved so"
    return ""
