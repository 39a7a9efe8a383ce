"""Images as one byte a value that become float32 where rows of them are read: a quarter of the memory and the disk."""

from __future__ import annotations

from dataclasses import dataclass

import torch

SPREAD = 256
"""Places within a grey level. Strictly inside of it: float32 rounding can then not reach the next level."""


@dataclass(frozen=True)
class PackedImages:
    """Rows of images at up to 256 grey levels. Indexing gives float32 in [-1, 1], as of a tensor of them.

    Attributes:
        levels: Grey levels from 0, uint8 of shape (n, dim).
        count: Number of grey levels.
        spread: Where each pixel lies within its level, in 256ths, uint8 of shape (n, dim); None if it is not
            dequantised.
    """

    levels: torch.Tensor
    count: int
    spread: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def shape(self) -> torch.Size:
        """(n, dim)."""
        return self.levels.shape

    def __getitem__(self, rows: slice | torch.Tensor) -> torch.Tensor:
        level = self.levels[rows].float()
        if self.spread is None:
            return level / (self.count - 1) * 2 - 1
        return (level + (self.spread[rows] + 0.5) / SPREAD) / self.count * 2 - 1

    def select(self, rows: slice | torch.Tensor) -> PackedImages:
        """Some of the rows, still packed."""
        return PackedImages(self.levels[rows], self.count, None if self.spread is None else self.spread[rows])

    @property
    def real(self) -> PackedImages:
        """The images at their grey levels, sharing the memory."""
        return PackedImages(self.levels, self.count)


Rows = torch.Tensor | PackedImages
"""Images by row: float32 in memory, or packed. `rows[i:j]` and `rows[index]` are float32 of shape (n, dim)."""


def select(images: Rows, rows: slice | torch.Tensor) -> Rows:
    """Some of the rows in the form that they have: packed ones are not unpacked."""
    return images.select(rows) if isinstance(images, PackedImages) else images[rows]
