"""What saving costs a stage: seconds of a save, its share of the time at the default interval, torch.save beside it.

    python benchmarks/resume.py

A save has a checksum, is on the disk when it returns (fsync), and replaces the one before whole; torch.save does none
of this.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from reflowbench.core import resume
from reflowbench.core.data.images import ImageSet
from reflowbench.core.networks import registry
from reflowbench.core.params import NetworkParams, OptimParams
from reflowbench.core.resume import Workspace
from reflowbench.couplings.shared.base import Inputs
from reflowbench.couplings.shared.independent import Independent
from reflowbench.training.loop import Trainer

NETWORKS = {"digits": (64, 256, 3), "paper's size (36M)": (3072, 1600, 5)}
OPTIM = {"lr": 1e-3, "schedule": "constant", "warmup": 0, "ema": 0.99, "clip": 1.0, "loss": "mse", "times": "uniform"}
TURNS = 7


def timed(work) -> float:
    """Median seconds of some turns."""
    seconds = []
    for _ in range(TURNS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    """Print a row per network."""
    print("| network | state | one save | share at the default interval | torch.save | ratio |")
    print("| --- | --: | --: | --: | --: | --: |")
    for name, (dim, hidden, blocks) in NETWORKS.items():
        params = NetworkParams(name="mlp", hidden=hidden, blocks=blocks, time_features=64)
        images = ImageSet(torch.zeros(64, dim), torch.zeros(64, dtype=torch.int64), (1, 1, dim), 256, True)
        optim = OptimParams(steps=3, batch=16, **OPTIM)
        network = registry.build(params, dim, 0)
        trainer = Trainer(network, Independent(Inputs(0, 0, 16, 3, images)), optim, 0, 0, path="base")
        for _ in trainer:
            pass
        with tempfile.TemporaryDirectory(dir=Path()) as folder:
            workspace = Workspace(Path(folder) / "scratch", {})
            ours = timed(lambda w=workspace, t=trainer: w.save(t.state()))
            peer = timed(lambda t=trainer, f=folder: torch.save(t.state()[0], Path(f) / "peer"))
        size = sum(tensor.numel() * tensor.element_size() for tensor in trainer.state()[0].values())
        share = ours / (max(resume.save_seconds(), ours / resume._SHARE) + ours)
        print(f"| {name} | {size / 1e6:.1f} MB | {ours:.3f} s | {share:.2%} | {peer:.3f} s | {ours / peer:.1f} |")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
