"""Pair store: the half of each pair that cannot be recomputed, in memory-mapped safetensors shards.

Synthetic pairs store x1 and recompute x0 from its noise counter; inverted pairs store x0 and take
x1 from the real images by index. That halves the disk, and no pair is ever in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from reflowbench.core.artifacts import atomic, read_json, read_tensors, write_json, write_tensors
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.randomness import noise

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


def write_pairs(folder: Path, manifest: Manifest, blocks: Iterable[torch.Tensor], shard_rows: int = SHARD_ROWS) -> None:
    """Write a pair folder, whole or not at all.

    Args:
        folder: Where to.
        manifest: What it holds.
        blocks: The stored halves in order, shapes (rows, dim), together `manifest.count` rows.
        shard_rows: Rows per shard.

    Raises:
        ReflowbenchError: If a value is not finite (the flow diverged) or rows are missing.
    """
    with atomic(folder) as temporary:
        temporary.mkdir()
        pending: list[torch.Tensor] = []
        rows = shards = written = 0

        def flush(limit: int) -> None:
            nonlocal pending, rows, shards, written
            while rows >= limit and rows:
                joined = torch.cat(pending)
                write_tensors(temporary / _shard_name(shards), {"x": joined[:shard_rows]})
                written += len(joined[:shard_rows])
                shards += 1
                pending = [joined[shard_rows:]]
                rows = len(joined) - len(joined[:shard_rows])

        for block in blocks:
            if not torch.isfinite(block).all():
                raise ReflowbenchError(
                    f"{folder}: the flow produced non-finite values while making {manifest.kind} pairs of round "
                    f"{manifest.round}; the network has diverged: lower round.lr or base.lr"
                )
            pending.append(block)
            rows += len(block)
            flush(shard_rows)
        flush(1)
        if written != manifest.count:
            raise ReflowbenchError(f"{folder}: {written} pairs were made where {manifest.count} were asked for")
        write_json(temporary / MANIFEST, asdict(manifest) | {"shard_rows": shard_rows})


def _shard_name(index: int) -> str:
    return f"shard-{index:05d}.safetensors"


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
            self._shard_rows: int = facts.pop("shard_rows")
            self.manifest = Manifest(**facts)
        except (KeyError, TypeError) as error:
            raise ReflowbenchError(
                f"{folder / MANIFEST}: not a pair manifest ({error}); delete {folder} and run `dvc repro`"
            ) from None
        self._shards: list[torch.Tensor] = []
        for start in range(0, self.manifest.count, self._shard_rows):
            path = folder / _shard_name(len(self._shards))
            shard = read_tensors(path)[0].get("x", torch.empty(0))
            expected = (min(self._shard_rows, self.manifest.count - start), self.manifest.dim)
            if tuple(shard.shape) != expected:
                raise ReflowbenchError(
                    f"{path}: holds {tuple(shard.shape)} values where the manifest says {expected}; "
                    f"delete {folder} and run `dvc repro`"
                )
            self._shards.append(shard)

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
