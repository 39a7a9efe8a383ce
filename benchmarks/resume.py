"""What saving costs a stage: its share of a real training's time, seconds of a save, and torch.save beside it.

    python -m benchmarks.resume [--minutes 3]

Trains the default profile's network with saves at the default interval, counting the seconds in which saving is at
work, from gathering the state to the file on the disk. Then a save by itself, for that network and for one of the
paper's size. A save has a checksum, is on the disk when it returns (fsync), and replaces the one before whole;
torch.save does none of this.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from reflowbench.couplings.shared.base import Inputs
from reflowbench.couplings.shared.independent import Independent
from reflowbench.data.images import ImageSet
from reflowbench.networks import registry
from reflowbench.runtime.params import MLPParams, OptimParams
from reflowbench.runtime.resume import Resumable
from reflowbench.runtime.workspace import State, Workspace, save_seconds
from reflowbench.training.loop import Trainer

NETWORKS = {"digits": (64, 256, 3), "paper's size (36M)": (3072, 1600, 5)}
OPTIM = {"lr": 1e-3, "schedule": "constant", "warmup": 0, "ema": 0.99, "clip": 1.0, "loss": "mse", "times": "uniform"}
TURNS = 7


class Timed(Workspace):
    """A workspace that knows how long saving took in all."""

    saves, seconds = 0, 0.0

    def save(self, state: Callable[[], State]) -> None:
        """Save, and count it."""
        super().save(state)
        self.saves, self.seconds = self.saves + 1, self.seconds + self._took


def trainer(name: str, steps: int, batch: int) -> Trainer:
    """A training of a network on images of its size."""
    dim, hidden, blocks = NETWORKS[name]
    network = registry.build(MLPParams(name="mlp", hidden=hidden, blocks=blocks, time_features=64), (1, 1, dim), 0)
    images = ImageSet(torch.zeros(1024, dim), torch.zeros(1024, dtype=torch.int64), (1, 1, dim), 256, True)
    optim = OptimParams(steps=steps, batch=batch, **OPTIM)
    return Trainer(network, Independent(Inputs(0, 0, batch, steps, images)), optim, 0, 0, path="base")


def share_of_a_run(folder: Path, minutes: float) -> str:
    """Train for some minutes."""
    workspace = Timed(folder / "run", {})
    started = time.perf_counter()
    for _ in Resumable(trainer("digits", 10**6, 256), workspace):
        if (seconds := time.perf_counter() - started) > 60 * minutes:
            break
    share = workspace.seconds / seconds
    return (
        f"A training of {seconds:.0f} s with a save every {save_seconds():g} s: {workspace.saves} saves took "
        f"{workspace.seconds:.2f} s, {share:.2%} of its time."
    )


def timed(work) -> float:
    """Median seconds of some turns."""
    seconds = []
    for _ in range(TURNS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def row(folder: Path, name: str) -> str:
    """A save by itself, and torch.save's of the same."""
    run = trainer(name, 3, 16)
    for _ in run:
        pass
    workspace = Workspace(folder / "scratch", {})
    ours = timed(lambda: workspace.save(run.state))
    peer = timed(lambda: torch.save(run.state()[0], folder / "peer"))
    size = sum(tensor.numel() * tensor.element_size() for tensor in run.state()[0].values())
    return f"| {name} | {size / 1e6:.1f} MB | {ours:.3f} s | {peer:.3f} s | {ours / peer:.1f} |"


def main() -> None:
    """Print the share, then a row per network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3, help="length of the training (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path()) as folder:
        print(share_of_a_run(Path(folder), args.minutes))
        print("\n| network | state | one save | torch.save | ratio |\n| --- | --: | --: | --: | --: |")
        for name in NETWORKS:
            print(row(Path(folder), name), flush=True)


if __name__ == "__main__":
    main()
