"""Pair store: the half of each pair that cannot be recomputed, in shards of safetensors.

Synthetic pairs store x1 and recompute x0 from its noise counter; inverted pairs store x0 and take
x1 from the real images by index. That halves the disk, and half precision halves it again. Rows are read where they
lie, so that memory does not grow with their number: `benchmarks/pairs_scale.py` measures it.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from reflowbench.core.randomness import noise
from reflowbench.data.blocks import BLOCK
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import (
    DAMAGED,
    atomic,
    read_json,
    require_space,
    to_disk,
    write_json,
    write_tensors,
)
from reflowbench.runtime.distributed import world
from reflowbench.runtime.params import Storage
from reflowbench.runtime.table import Table
from reflowbench.runtime.workspace import State

Blocks = Callable[[int], Iterable[torch.Tensor]]
"""From a row on, a multiple of BLOCK: the stored halves of pairs in order, shapes (rows, dim)."""

SHARD_ROWS = 16384
MANIFEST = "manifest.json"
NOISE_PURPOSE = "synthetic pairs"


@dataclass(frozen=True)
class Manifest:
    """What a pair folder holds.

    Attributes:
        kind: Synthetic pairs (x1 stored) or inverted pairs (x0 stored).
        seed: Seed of the chain; with `round`, the counter of the synthetic noise.
        round: Round that trains on the pairs.
        count: Number of pairs.
        dim: Values per image.
        evaluations: Network evaluations spent, counted in samples (count * NFE).
        storage: Type of the stored values.
        bounded: Whether x1 is clipped to [-1, 1], as images are and latents are not.
    """

    kind: Literal["synthetic", "inverted"]
    seed: int
    round: int
    count: int
    dim: int
    evaluations: int
    storage: Storage = "float32"
    bounded: bool = True

    def written(self) -> dict[str, Any]:
        """The fields as the manifest holds them: what is as it was before there was a choice is left out."""
        defaults = {name: f.default for name, f in self.__dataclass_fields__.items()}
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


def synthetic_noise(seed: int, round_: int, index: Sequence[int] | range, dim: int) -> torch.Tensor:
    """Noise x0 of the synthetic pairs at the given positions, shape (n, dim)."""
    return noise(seed, NOISE_PURPOSE, round_, index, dim)


class PairWriter:
    """Makes pairs and writes their folder, block by block; iterate to run it. Of several processes the first writes."""

    def __init__(self, folder: Path, manifest: Manifest, blocks: Blocks, shard_rows: int = SHARD_ROWS) -> None:
        """Prepare.

        Args:
            folder: Where to; nobody reads it before all is done.
            manifest: What it will hold.
            blocks: Gives the stored halves from a row on, in order, shapes (rows, dim).
            shard_rows: Rows per shard.
        """
        self._folder, self._manifest, self._blocks, self._shard_rows = folder, manifest, blocks, shard_rows
        self._type = getattr(torch, manifest.storage)
        self._pending: list[torch.Tensor] = []
        self._shards = self._rows = 0
        self._writes = world().first

    @property
    def done(self) -> int:
        """Blocks that were made."""
        return math.ceil(self._rows / BLOCK)

    def __len__(self) -> int:
        """Number of blocks."""
        return math.ceil(self._manifest.count / BLOCK)

    def __iter__(self) -> Iterator[int]:
        """Make the blocks that are left, yielding the rows made so far.

        Yields:
            Rows that are stored.

        Raises:
            ReflowbenchError: If a value is not finite (the flow diverged), rows are missing or the disk is too small.
        """
        m = self._manifest
        if self._writes:
            self._folder.mkdir(parents=True, exist_ok=True)
            left = m.count - self._shards * self._shard_rows
            require_space(self._folder, left * m.dim * self._type.itemsize, f"{m.kind} pairs")
        for block in self._blocks(self._rows):
            block = block.to(self._type)  # noqa: PLW2901 (beyond half precision is not finite either)
            if not torch.isfinite(block).all():
                raise ReflowbenchError(
                    f"the flow produced non-finite values while making {m.kind} pairs of round {m.round}; the network "
                    "has diverged: lower round.lr or base.lr"
                )
            self._pending.append(block)
            self._rows += len(block)
            while self._rows - self._shards * self._shard_rows >= self._shard_rows:
                self._flush()
            yield self._rows
        if self._rows > self._shards * self._shard_rows:
            self._flush()
        if self._rows != m.count:
            raise ReflowbenchError(f"{self._rows} {m.kind} pairs were made where {m.count} were asked for")
        if self._writes:
            write_json(self._folder / MANIFEST, m.written() | {"shard_rows": self._shard_rows})

    def _flush(self) -> None:
        pending = self._waiting()
        shard, self._pending = pending[: self._shard_rows], [pending[self._shard_rows :].clone()]
        if self._writes:
            path = self._folder / _shard_name(self._shards)
            write_tensors(path, {"x": shard}, _shard_facts(self._manifest, self._shards))
            to_disk(path)  # a state that counts it must not outlive it in a power cut
        self._shards += 1

    def _waiting(self) -> torch.Tensor:
        """The rows that are in no shard yet."""
        return torch.cat([torch.empty(0, self._manifest.dim, dtype=self._type), *self._pending])

    def state(self) -> State:
        """How many shards are written, and the rows after them."""
        return {"pending": self._waiting()}, {"shards": self._shards, "rows": self._rows}

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Take back what `state` returned; go back further if a shard is damaged."""
        self._pending, self._shards, self._rows = [tensors["pending"]], facts["shards"], facts["rows"]
        for index in range(self._shards):
            try:
                _open_shard(self._folder, self._manifest, index, self._shard_rows)
            except ReflowbenchError as error:
                print(f"WARNING: {error.args[0].split(';')[0]}: made again from there on", file=sys.stderr)
                self._pending, self._shards = [], index
                self._rows = index * self._shard_rows
                return


def write_pairs(folder: Path, manifest: Manifest, blocks: Blocks, shard_rows: int = SHARD_ROWS) -> None:
    """Write a pair folder, whole or not at all.

    Args:
        folder: Where to.
        manifest: What it holds.
        blocks: Gives the stored halves from a row on, in order, shapes (rows, dim), together `manifest.count` rows.
        shard_rows: Rows per shard.

    Raises:
        ReflowbenchError: If a value is not finite (the flow diverged), rows are missing or the disk is too small.
    """
    with atomic(folder) if world().first else contextlib.nullcontext(folder) as temporary:
        for _ in PairWriter(temporary, manifest, blocks, shard_rows):
            pass
    world().agreed(0)  # nobody reads it before it is there


def _shard_name(index: int) -> str:
    return f"shard-{index:05d}.safetensors"


def _shard_facts(manifest: Manifest, index: int) -> dict[str, Any]:
    """What a shard says of itself, so that one of another place or folder is not taken for it."""
    return {"kind": manifest.kind, "seed": manifest.seed, "round": manifest.round, "shard": index}


def _whole(value: Any, least: int) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{value!r} where a whole number of at least {least} belongs")
    return value


def _is_in_range(manifest: Manifest, low: float, high: float) -> bool:
    """Images are clipped to [-1, 1]; noise and latents need only be finite."""
    clipped = manifest.kind == "synthetic" and manifest.bounded
    limit = 1.0 if clipped else torch.finfo(torch.float32).max
    return low >= -limit and high <= limit  # false of NaN


def _open_shard(folder: Path, manifest: Manifest, index: int, rows: int) -> Table:
    """Open a shard that is of this place, shape, type and range."""
    path, shape = folder / _shard_name(index), (rows, manifest.dim)
    shard, kind = Table(path), getattr(torch, manifest.storage)
    wrong = ""
    if shard.shape != shape or shard.dtype != kind:
        wrong = f"holds {shard.shape} values of {shard.dtype} where the manifest says {shape} of {kind}"
    elif shard.facts != _shard_facts(manifest, index):
        wrong = f"is of {shard.facts} where the manifest says {_shard_facts(manifest, index)}"
    elif not _is_in_range(manifest, *shard.bounds()):
        wrong = f"holds values that no {manifest.kind} pair has"
    if wrong:
        raise ReflowbenchError(f"{path}: {wrong}; {DAMAGED}")
    return shard


class StoredHalf:
    """Rows of the stored half of a pair folder, read where they lie."""

    def __init__(self, folder: Path) -> None:
        """Open a pair folder and check every shard's header against the manifest.

        Args:
            folder: A folder written by `write_pairs`.

        Raises:
            ReflowbenchError: If the folder, its manifest or a shard is missing, cut short or of another shape.
        """
        self.folder = folder
        facts = read_json(folder / MANIFEST)
        try:
            self._shard_rows = _whole(facts.pop("shard_rows"), 1)
            self.manifest = Manifest(**facts)
            for value in (self.manifest.seed, self.manifest.round, self.manifest.evaluations):
                _whole(value, 0)
            _whole(self.manifest.count, 1), _whole(self.manifest.dim, 1)
            if self.manifest.storage not in get_args(Storage) or type(self.manifest.bounded) is not bool:
                raise ValueError(f"storage {self.manifest.storage!r}, bounded {self.manifest.bounded!r}")
            if self.manifest.kind not in ("synthetic", "inverted"):
                raise ValueError(f"kind {self.manifest.kind!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise ReflowbenchError(f"{folder / MANIFEST}: not a pair manifest ({error}); {DAMAGED}") from None
        self._shards: list[Table] = []
        for start in range(0, self.manifest.count, self._shard_rows):
            index, rows = len(self._shards), min(self._shard_rows, self.manifest.count - start)
            self._shards.append(_open_shard(folder, self.manifest, index, rows))

    def __len__(self) -> int:
        return self.manifest.count

    def rows(self, index: torch.Tensor) -> torch.Tensor:
        """Stored rows at the given positions.

        Args:
            index: int64 positions in [0, len), shape (n,).

        Returns:
            float32 tensor of shape (n, dim).
        """
        out = torch.empty(len(index), self.manifest.dim)
        positions = index.numpy()
        shard_of = positions // self._shard_rows
        for number in np.unique(shard_of):
            shard, chosen = self._shards[number], shard_of == number
            rows = positions[chosen] - number * self._shard_rows
            out[torch.from_numpy(chosen)] = torch.from_numpy(shard.rows(rows).astype(np.float32))
        return out
