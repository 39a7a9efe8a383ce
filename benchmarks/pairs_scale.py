"""What stored pairs of the paper's scale take: bytes on the disk, and memory while batches are drawn from them.

    python -m benchmarks.pairs_scale                     # 500,000 pairs of 32x32 in colour: 3.1 GB of free disk
    python -m benchmarks.pairs_scale --pairs 20000       # seconds

The values are made up (one block, over and over), the store is the pipeline's own. Batches are drawn as Reflow draws
them, noise recomputed. Each storage is read in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch

from reflowbench.core.randomness import generator
from reflowbench.cost.pairs import STORED
from reflowbench.pairs.store import Manifest, StoredHalf, synthetic_noise, write_pairs
from reflowbench.runtime.artifacts import SCRATCH, require_space

BLOCK = 4096


def write(folder: Path, pairs: int, dim: int, storage: str) -> float:
    """Write a store; give the seconds that it took."""
    block = torch.rand(BLOCK, dim, generator=torch.Generator().manual_seed(0)) * 2 - 1
    started = time.perf_counter()
    manifest = Manifest("synthetic", 0, 1, pairs, dim, 0, storage)
    write_pairs(folder, manifest, lambda start: (block[: pairs - i] for i in range(start, pairs, BLOCK)))
    return time.perf_counter() - started


def read(folder: Path, batches: int, batch: int) -> dict[str, float]:
    """Draw batches as Reflow does; give memory beyond what the process had before, and times."""
    process = psutil.Process()
    synthetic_noise(0, 1, range(batch), 64)
    before = process.memory_info().rss
    started = time.perf_counter()
    stored = StoredHalf(folder)
    opened, peak, spent = time.perf_counter() - started, 0, 0.0
    after_open = process.memory_info().rss - before
    for step in range(batches):
        rows = torch.randint(len(stored), (batch,), generator=generator(0, "rows", 1, step))
        started = time.perf_counter()
        x1 = stored.rows(rows)
        spent += time.perf_counter() - started
        x0 = synthetic_noise(0, 1, rows.tolist(), stored.manifest.dim)
        assert x0.shape == x1.shape == (batch, stored.manifest.dim)
        peak = max(peak, process.memory_info().rss - before)
    return {
        "opened": after_open,
        "peak": max(peak, after_open),
        "seconds": opened,
        "milliseconds": spent / batches * 1e3,
    }


def main() -> None:
    """Print a row for each storage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=500_000)
    parser.add_argument("--dim", type=int, default=3072)
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--storage", choices=tuple(STORED), nargs="+", default=["float16"])
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        print(json.dumps(read(args.read, args.batches, args.batch)))
        return
    print(
        "| pairs | values | storage | disk | written in | opened in | memory once open | at most, drawing | a batch |"
    )
    print("| --: | --: | --- | --: | --: | --: | --: | --: | --: |")
    for storage in args.storage:
        SCRATCH.mkdir(exist_ok=True)  # which Git ignores
        with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
            store = Path(folder) / "pairs"
            require_space(Path(folder), args.pairs * args.dim * STORED[storage], "pairs")
            written = write(store, args.pairs, args.dim, storage)
            size = sum(file.stat().st_size for file in store.iterdir())
            command = [sys.executable, __file__, "--read", str(store)]
            command += ["--batches", str(args.batches), "--batch", str(args.batch)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        opened, peak, batch = found["opened"] / 1e6, found["peak"] / 1e6, found["milliseconds"]
        print(
            f"| {args.pairs} | {args.dim} | {storage} | {size / 1e9:.3f} GB | {written:.0f} s "
            f"| {found['seconds']:.1f} s | {opened:.0f} MB | {peak:.0f} MB | {batch:.2f} ms |"
        )


if __name__ == "__main__":
    main()
