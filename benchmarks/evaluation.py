"""Wall time of evaluating one model, after imports and data: each solver with all metrics, and the floor."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from reflowbench.data.images import ImageSet
from reflowbench.metrics.evaluate import Evaluation
from reflowbench.metrics.features.classifier import load
from reflowbench.metrics.features.registry import load_networks
from reflowbench.metrics.floor import floor
from reflowbench.metrics.reference import Reference
from reflowbench.networks.model import load_model
from reflowbench.runtime.config import PARAMS_FILE, load_group
from reflowbench.runtime.params import EvaluateParams
from reflowbench.runtime.stage import set_threads


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Print how long something takes."""
    start = time.perf_counter()
    yield
    print(f"{name:<24}{time.perf_counter() - start:8.2f} s", flush=True)


def main() -> None:
    """Evaluate the model as the stage `evaluate` does, but write nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="?", default=Path("runs"), help="a run's folder (default: runs)")
    parser.add_argument(
        "--model", default="chains/reflow/s0/round1/model", help="in that folder (default: %(default)s)"
    )
    parser.add_argument("--params", type=Path, default=PARAMS_FILE, help="parameter file (default: %(default)s)")
    args = parser.parse_args()
    set_threads()
    params = load_group(EvaluateParams, args.params)
    data, heldout = (ImageSet.load(args.runs / f"data/{name}.safetensors") for name in ("train", "heldout"))
    classifier, _ = load(args.runs / "features/classifier.safetensors")
    networks = load_networks(params, classifier, data.shape)
    velocity, _, _ = load_model(args.runs / args.model)
    print(f"{params.n_samples} samples, {len(data)} real images, threads: {torch.get_num_threads()}")
    with timed("the model, in all"):
        with timed("  reference"):
            reference = Reference(data, networks, classifier, params)
        evaluation = Evaluation(velocity, data, heldout, reference, params, seed=0)
        parts = iter(evaluation)
        for _ in range(len(evaluation)):
            start = time.perf_counter()
            name = next(parts)
            print(f"  {name:<22}{time.perf_counter() - start:8.2f} s", flush=True)
    with timed("the floor, once a seed"):
        floor(data, heldout, networks, classifier, params)


if __name__ == "__main__":
    main()
