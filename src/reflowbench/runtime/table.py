"""Rows of one table in a safetensors file, read where they lie: what stays in memory does not grow with the file.

By plain reads, not through a memory map: where the system maps files in pages of 2 MB, rows drawn at random bring all
of the file into the process.
"""

from __future__ import annotations

import json
import math
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import DAMAGED, read_tensors

_TYPES = {torch.float32: "<f4", torch.float16: "<f2"}
"""As safetensors writes them, whatever the machine."""
_CHUNK = 2**24
"""Bytes that are read at a time where all of them are."""


class Table:
    """A table of floats in a file. Rows are copied out of it; nothing else of it is in memory.

    Attributes:
        facts: The metadata of the file.
        dtype: Of the tensor: float32 or float16, or there are no rows to be read.
        shape: Of the tensor: (rows, dim), or there are no rows to be read; (0,) if it is not there.
    """

    def __init__(self, path: Path, name: str = "x") -> None:
        """Open a file written by `write_tensors`, once its checksum is found right.

        Args:
            path: The file.
            name: The tensor in it.

        Raises:
            ReflowbenchError: If the file is missing or damaged.
        """
        tensors, self.facts = read_tensors(path)
        tensor = tensors.get(name, torch.empty(0))
        self.dtype, self.shape = tensor.dtype, tuple(tensor.shape)
        self._path, self._file = path, os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._kind = np.dtype(_TYPES.get(tensor.dtype, "<f4"))
        self._start = self._begin(name) if name in tensors else 0
        self._row = math.prod(self.shape[1:]) * self._kind.itemsize

    def _begin(self, name: str) -> int:
        """Where the values begin; `read_tensors` has found the header right."""
        length = int.from_bytes(os.pread(self._file, 8, 0), "little")
        header: dict[str, Any] = json.loads(os.pread(self._file, length, 8))
        return 8 + length + int(header[name]["data_offsets"][0])

    def rows(self, index: NDArray[np.intp]) -> NDArray[Any]:
        """Copies of rows.

        Args:
            index: Their positions, shape (n,).

        Returns:
            Shape (n, dim), in the file's type.
        """
        if len(index) and (np.diff(index) == 1).all():
            return self._read(int(index[0]), len(index))
        out = np.empty((len(index), self.shape[1]), dtype=self._kind)
        for place, row in enumerate(index.tolist()):
            out[place] = self._read(row, 1)[0]
        return out

    def _read(self, first: int, count: int) -> NDArray[Any]:
        """Rows that lie side by side. A read may give less than asked for: never more than 2 GB at once."""
        place, end = (self._start + row * self._row for row in (first, first + count))
        pieces = []
        while place < end:
            piece = os.pread(self._file, end - place, place)
            if not piece:
                raise ReflowbenchError(f"{self._path}: it has become shorter since it was opened; {DAMAGED}")
            pieces.append(piece)
            place += len(piece)
        return np.frombuffer(b"".join(pieces), dtype=self._kind).reshape(count, self.shape[1])

    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value; both NaN if any is. Reads all, piece by piece."""
        low, high = np.inf, -np.inf
        step = max(1, _CHUNK // max(1, self._row))
        for start in range(0, self.shape[0], step):
            piece = torch.from_numpy(self._read(start, min(step, self.shape[0] - start)).astype(np.float32))
            least, most = (value.item() for value in piece.aminmax())
            low, high = np.minimum(low, least), np.maximum(high, most)  # which keep NaN
        return float(low), float(high)
