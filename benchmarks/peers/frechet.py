"""Frechet distance at the 2048 dimensions of Inception, against clean-fid's and torch-fidelity's from the same moments.

Clean-fid takes a general matrix square root.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from cleanfid.fid import frechet_distance
from numpy.typing import NDArray
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from benchmarks.peers.turns import Comparison, in_turn
from reflowbench.core.gaussians import Gaussian, fit, squared_wasserstein

ROWS, DIM = 5000, 2048


def features(n: int, dim: int, seed: int) -> NDArray[np.float64]:
    """Random features whose covariance has eigenvalues that fall as 1 / rank, on axes of its own."""
    draw = np.random.default_rng(seed)
    axes = np.linalg.qr(draw.normal(size=(dim, dim)))[0]
    scales = np.arange(1, dim + 1) ** -0.5
    return (draw.normal(size=(n, dim)) * scales) @ axes.T + 0.05 * draw.normal(size=dim)


def rows(turns: int) -> Iterator[Comparison]:
    """The distance between the same moments, fitted once."""
    warnings.simplefilter("ignore", DeprecationWarning)  # clean-fid calls scipy's sqrtm the old way
    first, second = (fit(features(ROWS, DIM, seed)) for seed in (0, 1))
    mine, other = ({"mu": g.mean, "sigma": g.covariance} for g in (first, second))
    values: dict[str, float] = {}

    def ours() -> None:
        # New Gaussians: they keep their factor, which would make every turn but the first faster.
        values["ours"] = squared_wasserstein(*(Gaussian(g.mean, g.covariance) for g in (first, second)))

    def cleanfids() -> None:
        values["clean-fid"] = float(frechet_distance(first.mean, first.covariance, second.mean, second.covariance))

    def fidelitys() -> None:
        values["torch-fidelity"] = fid_statistics_to_metric(mine, other, verbose=False)[KEY_METRIC_FID]

    taken = in_turn({"ours": ours, "clean-fid": cleanfids, "torch-fidelity": fidelitys}, min(turns, 3), warm=0)
    for peer in ("clean-fid", "torch-fidelity"):
        facts = {"relative difference": abs(values["ours"] / values[peer] - 1)}
        yield Comparison(f"Frechet distance, {DIM} dimensions", peer, taken["ours"], taken[peer], facts)
