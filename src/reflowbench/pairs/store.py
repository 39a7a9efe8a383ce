"""Pair store: the half of each pair that cannot be recomputed, in memory-mapped safetensors shards.

Synthetic pairs store x1 and recompute x0 from its noise counter; inverted pairs store x0 and take
x1 from the real images by index. That halves the disk, and no pair is ever in memory as a whole.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from reflowbench.core.artifacts import (
    DAMAGED,
    atomic,
    read_json,
    read_tensors,
    require_space,
    to_disk,
    write_json,
    write_tensors,
)
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.flow.blocks import BLOCK
from reflowbench.core.randomness import noise
from reflowbench.core.resume import State

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
    """

    kind: Literal["synthetic", "inverted"]
    seed: int
    round: int
    count: int
    dim: int
    evaluations: int


def synthetic_noise(seed: int, round_: int, index: Sequence[int] | range, dim: int) -> torch.Tensor:
    """Noise x0 of the synthetic pairs at the given positions, shape (n, dim)."""
    return noise(seed, NOISE_PURPOSE, round_, index, dim)


class PairWriter:
    """Makes pairs and writes their folder, block by block; iterate to run it."""

    def __init__(self, folder: Path, manifest: Manifest, blocks: Blocks, shard_rows: int = SHARD_ROWS) -> None:
        """Prepare.

        Args:
            folder: Where to; nobody reads it before all is done.
            manifest: What it will hold.
            blocks: Gives the stored halves from a row on, in order, shapes (rows, dim).
            shard_rows: Rows per shard.
        """
        self._folder, self._manifest, self._blocks, self._shard_rows = folder, manifest, blocks, shard_rows
        self._pending = torch.empty(0, manifest.dim)
        self._shards = self._rows = 0

    @property
    def done(self) -> int:
        """Blocks that were made."""
        return math.ceil(self._rows / BLOCK)

    def __len__(self) -> int:
        """Number of blocks."""
        return math.ceil(self._manifest.count / BLOCK)

    def __iter__(self) -> Iterator[int]:
        """Make the blocks that are left, yielding the rows made so far.

        Raises:
            ReflowbenchError: If a value is not finite (the flow diverged), rows are missing or the disk is too small.
        """
        m = self._manifest
        self._folder.mkdir(parents=True, exist_ok=True)
        left = m.count - self._shards * self._shard_rows
        require_space(self._folder, left * m.dim * self._pending.element_size(), f"{m.kind} pairs")
        for block in self._blocks(self._rows):
            if not torch.isfinite(block).all():
                raise ReflowbenchError(
                    f"the flow produced non-finite values while making {m.kind} pairs of round {m.round}; the network "
                    "has diverged: lower round.lr or base.lr"
                )
            self._pending = torch.cat([self._pending, block])
            self._rows += len(block)
            while len(self._pending) >= self._shard_rows:
                self._flush()
            yield self._rows
        if len(self._pending):
            self._flush()
        if self._rows != m.count:
            raise ReflowbenchError(f"{self._rows} {m.kind} pairs were made where {m.count} were asked for")
        write_json(self._folder / MANIFEST, asdict(m) | {"shard_rows": self._shard_rows})

    def _flush(self) -> None:
        shard, self._pending = self._pending[: self._shard_rows], self._pending[self._shard_rows :].clone()
        path = self._folder / _shard_name(self._shards)
        write_tensors(path, {"x": shard}, _shard_facts(self._manifest, self._shards))
        to_disk(path)  # a state that counts it must not outlive it in a power cut
        self._shards += 1

    def state(self) -> State:
        """How many shards are written, and the rows after them."""
        return {"pending": self._pending}, {"shards": self._shards, "rows": self._rows}

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Take back what `state` returned; go back further if a shard is damaged."""
        self._pending, self._shards, self._rows = tensors["pending"], facts["shards"], facts["rows"]
        for index in range(self._shards):
            try:
                _read_shard(self._folder, self._manifest, index, self._shard_rows)
            except ReflowbenchError as error:
                print(f"WARNING: {error.args[0].split(';')[0]}: made again from there on", file=sys.stderr)
                self._pending, self._shards = self._pending[:0], index
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
    with atomic(folder) as temporary:
        for _ in PairWriter(temporary, manifest, blocks, shard_rows):
            pass


def _shard_name(index: int) -> str:
    return f"shard-{index:05d}.safetensors"


def _shard_facts(manifest: Manifest, index: int) -> dict[str, Any]:
    """What a shard says of itself, so that one of another place or folder is not taken for it."""
    return {"kind": manifest.kind, "seed": manifest.seed, "round": manifest.round, "shard": index}


def _whole(value: Any, least: int) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{value!r} where a whole number of at least {least} belongs")
    return value


def _is_in_range(shard: torch.Tensor, kind: str) -> bool:
    """Images are clipped to [-1, 1]; noise need only be finite."""
    low, high = shard.aminmax()
    limit = 1.0 if kind == "synthetic" else torch.finfo(shard.dtype).max
    return bool(low >= -limit and high <= limit)  # false of NaN


def _read_shard(folder: Path, manifest: Manifest, index: int, rows: int) -> torch.Tensor:
    """Read a shard that is of this place, shape, type and range, shape (rows, dim)."""
    path, shape = folder / _shard_name(index), (rows, manifest.dim)
    tensors, facts = read_tensors(path)
    shard = tensors.get("x", torch.empty(0))
    wrong = ""
    if tuple(shard.shape) != shape or shard.dtype != torch.float32:
        wrong = f"holds {tuple(shard.shape)} values of {shard.dtype} where the manifest says {shape} of float32"
    elif facts != _shard_facts(manifest, index):
        wrong = f"is of {facts} where the manifest says {_shard_facts(manifest, index)}"
    elif not _is_in_range(shard, manifest.kind):
        wrong = f"holds values that no {manifest.kind} pair has"
    if wrong:
        raise ReflowbenchError(f"{path}: {wrong}; {DAMAGED}")
    return shard


class StoredHalf:
    """Rows of the stored half of a pair folder, read through a memory map."""

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
            if self.manifest.kind not in ("synthetic", "inverted"):
                raise ValueError(f"kind {self.manifest.kind!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise ReflowbenchError(f"{folder / MANIFEST}: not a pair manifest ({error}); {DAMAGED}") from None
        self._shards: list[torch.Tensor] = []
        for start in range(0, self.manifest.count, self._shard_rows):
            index, rows = len(self._shards), min(self._shard_rows, self.manifest.count - start)
            self._shards.append(_read_shard(folder, self.manifest, index, rows))

    def __len__(self) -> int:
        return self.manifest.count

    def rows(self, index: torch.Tensor) -> torch.Tensor:
        """Stored rows at the given positions.

        Args:
            index: int64 positions in [0, len), shape (n,).

        Returns:
            Tensor of shape (n, dim).
        """
        out = torch.empty(len(index), self.manifest.dim)
        shard_of = index // self._shard_rows
        for shard in sorted(set(shard_of.tolist())):
            chosen = shard_of == shard
            out[chosen] = self._shards[shard][index[chosen] - shard * self._shard_rows]
        return out
