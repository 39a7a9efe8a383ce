"""Rows in blocks of one fixed size, so that a row's result does not depend on its neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from reflowbench.data.packed import Rows

BLOCK = 256
"""Rows solved at a time. A matrix product may round differently for another number of rows."""


def in_blocks(x: Rows, size: int = BLOCK) -> Iterator[tuple[torch.Tensor, int]]:
    """Cut rows into blocks of one fixed size.

    Args:
        x: Rows, shape (n, dim). Packed images are unpacked block by block.
        size: Rows per block.

    Yields:
        A block of shape (size, dim), the last one padded with zeros, and how many of its rows are real.
    """
    for start in range(0, len(x), size):
        rows = x[start : start + size]
        yield torch.nn.functional.pad(rows, (0, 0, 0, size - len(rows))), len(rows)
