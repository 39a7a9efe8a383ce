"""Stored pairs, against two float32 `.npy` files of noise and images, read whole, as RectifiedFlow keeps them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.peers.turns import Comparison, in_turn
from reflowbench.core.randomness import generator
from reflowbench.pairs.store import Manifest, StoredHalf, synthetic_noise, write_pairs
from reflowbench.runtime.artifacts import SCRATCH, to_disk

PAIRS, DIM, BATCH, BATCHES = 10_240, 3072, 128, 100
BLOCK = 1024


def rows(turns: int) -> Iterator[Comparison]:
    """Bytes (as one turn's 'seconds'), writing, and opening with a hundred batches drawn, by type of stored values."""
    block = torch.rand(BLOCK, DIM, generator=torch.Generator().manual_seed(0)) * 2 - 1
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as name:
        folder = Path(name)

        def save() -> None:
            noise = synthetic_noise(0, 1, range(PAIRS), DIM).numpy()
            for file, values in (("noise.npy", noise), ("images.npy", block.repeat(PAIRS // BLOCK, 1).numpy())):
                np.save(folder / file, values)
                to_disk(folder / file)

        def load() -> None:
            both = [torch.from_numpy(np.load(folder / file)) for file in ("noise.npy", "images.npy")]
            for step in range(BATCHES):
                index = _index(step)
                assert all(values[index].shape == (BATCH, DIM) for values in both)

        def write(storage: str) -> None:
            manifest = Manifest("synthetic", 0, 1, PAIRS, DIM, 0, storage)
            for index in range(0, PAIRS, BLOCK):  # it has to be drawn here too: images are made from it
                synthetic_noise(0, 1, range(index, index + BLOCK), DIM)
            write_pairs(folder / storage, manifest, lambda start: (block for _ in range(start, PAIRS, BLOCK)))

        def read(storage: str) -> None:
            stored = StoredHalf(folder / storage)
            for step in range(BATCHES):
                index = _index(step)
                pair = synthetic_noise(0, 1, index.tolist(), DIM), stored.rows(index)
                assert all(values.shape == (BATCH, DIM) for values in pair)

        kinds = ("float32", "float16")
        written = in_turn({"peer": save} | {kind: partial(write, kind) for kind in kinds}, min(turns, 3))
        opened = in_turn({"peer": load} | {kind: partial(read, kind) for kind in kinds}, min(turns, 3))
        size = {kind: float(sum(f.stat().st_size for f in (folder / kind).iterdir())) for kind in kinds}
        full = float(sum(file.stat().st_size for file in folder.glob("*.npy")))
    peer = "two float32 .npy files"
    for kind in kinds:
        name = f"{PAIRS} pairs of 32x32 in colour, {kind}"
        yield Comparison(f"{name}: disk", peer, [size[kind]], [full], {"unit": "bytes"})
        yield Comparison(f"{name}: drawing the noise and writing", peer, written[kind], written["peer"])
        yield Comparison(f"{name}: opening, and {BATCHES} batches of {BATCH}", peer, opened[kind], opened["peer"])


def _index(step: int) -> torch.Tensor:
    return torch.randint(PAIRS, (BATCH,), generator=generator(0, "rows", 1, step))
