"""Frechet distance at the 2048 dimensions of Inception: ours and clean-fid's, in turn, in one process."""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cleanfid.fid import frechet_distance
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from reflowbench.core.gaussians import Gaussian, fit, squared_wasserstein

RESULT = Path(__file__).parent / "results/frechet.json"


def features(n: int, dim: int, seed: int) -> NDArray[np.float64]:
    """Random features whose covariance has eigenvalues that fall as 1 / rank, on axes of its own."""
    draw = np.random.default_rng(seed)
    axes = np.linalg.qr(draw.normal(size=(dim, dim)))[0]
    scales = np.arange(1, dim + 1) ** -0.5
    return (draw.normal(size=(n, dim)) * scales) @ axes.T + 0.05 * draw.normal(size=dim)


def timed(compute: Callable[[], float]) -> tuple[float, float]:
    """Value and seconds."""
    start = time.perf_counter()
    value = float(compute())
    return value, time.perf_counter() - start


def main() -> None:
    """Fit both sets once, then time the two distances between the same moments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=5000, help="samples of each set (default: %(default)s)")
    parser.add_argument("--dim", type=int, default=2048, help="features (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="turns (default: %(default)s)")
    args = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # clean-fid calls scipy's sqrtm the old way
    first, second = (fit(features(args.n, args.dim, seed)) for seed in (0, 1))

    def ours() -> float:
        # New Gaussians: they keep their factor, which would make every turn but the first faster.
        return squared_wasserstein(*(Gaussian(g.mean, g.covariance) for g in (first, second)))

    def cleanfids() -> float:
        return float(frechet_distance(first.mean, first.covariance, second.mean, second.covariance))

    values, seconds = [], []
    start, spent = time.perf_counter(), time.process_time()
    for turn in range(args.repeats):
        both = [timed(compute) for compute in (ours, cleanfids)]
        values, seconds = [value for value, _ in both], [*seconds, [taken for _, taken in both]]
        print(f"turn {turn + 1}: ours {seconds[-1][0]:.2f} s, clean-fid's {seconds[-1][1]:.2f} s", flush=True)
    busy = (time.process_time() - spent) / (time.perf_counter() - start)
    ratios = [theirs / mine for mine, theirs in seconds]
    difference = abs(values[0] - values[1]) / abs(values[1])
    spread = {"min": min(ratios), "median": float(np.median(ratios)), "max": max(ratios)}
    print("clean-fid's time over ours:", ", ".join(f"{name} {ratio:.1f}" for name, ratio in spread.items()))
    print(f"values {values[0]:.6f} and {values[1]:.6f}: relative difference {difference:.1e}")
    threads = max(pool["num_threads"] for pool in threadpool_info())
    print(f"CPU seconds per second: {busy:.2f} of {threads} threads (much less: the machine was not idle)")
    result = {
        "n": args.n,
        "dim": args.dim,
        "threads": threads,
        "cpu_seconds_per_second": busy,
        "seconds": {"ours": [s for s, _ in seconds], "cleanfid": [s for _, s in seconds]},
        "ratio": spread,
        "values": {"ours": values[0], "cleanfid": values[1]},
        "relative_difference": difference,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
