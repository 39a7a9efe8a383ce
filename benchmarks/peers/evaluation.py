"""Evaluating a model of the default profile, against a loop over libraries that computes the same metrics.

The loop has torchdiffeq for the samples, clean-fid for the Frechet and the kernel distance (which takes 1,024 of the
real images, ours all), prdc for precision and its kin: once for each solver; and, for the standard errors that ours
has, again without each group of samples. It does nothing else; what the pipeline measures beyond that (memorization,
near duplicates, classes, inversions, spectra) is in its time all the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from cleanfid.fid import frechet_distance, kernel_distance
from numpy.typing import NDArray
from prdc import compute_prdc
from torchdiffeq import odeint

from benchmarks.peers.networks import classifier, default, digits, params
from benchmarks.peers.pairs import at_one_time, euler
from benchmarks.peers.turns import Comparison, in_turn
from reflowbench.core.jackknife import Rows, groups_of
from reflowbench.core.randomness import noise
from reflowbench.core.schemes import ADAPTIVE
from reflowbench.metrics.evaluate import Evaluation
from reflowbench.metrics.reference import Reference

Array = NDArray[np.float64]


def rows(turns: int) -> Iterator[Comparison]:
    """All solvers of the default profile; facts: how far apart the two Frechet distances at the highest NFE are."""
    warnings.simplefilter("ignore", DeprecationWarning)
    (data, heldout), network, own = digits(), default(), params().evaluate
    images = classifier()
    real = images.features(data.real)
    found: dict[str, float] = {}
    z = noise(0, "evaluation", 0, range(own.n_samples), data.dim)  # that of the pipeline

    call = at_one_time(network)

    def libraries(errors: bool) -> None:
        groups = groups_of(own.n_samples, own.groups) if errors else []
        for nfe in own.nfe:
            found["theirs"] = _scores(images.features(data.quantize(euler(call, z, nfe))), real, groups)
        times, tolerance = torch.tensor([0.0, 1.0]), own.adaptive_tolerance
        with torch.no_grad():
            made = odeint(lambda t, x: call(x, t), z, times, rtol=tolerance, atol=tolerance, method=ADAPTIVE)[-1]
        _scores(images.features(data.quantize(made)), real, groups)

    def ours() -> None:
        evaluation = Evaluation(network, data, heldout, Reference(data, [images], images, own), own, 0)
        for _ in evaluation:
            pass
        most = max(own.nfe)
        found["ours"] = next(
            m.value for m in evaluation.measurements if m.metric == "frechet_distance" and m.nfe == most and m.value
        )

    work = {f"peer {errors}": partial(libraries, errors) for errors in (False, True)}
    taken = in_turn(work | {"ours": ours}, min(turns, 3))
    facts = {"relative difference of FD": abs(found["ours"] / found["theirs"] - 1)}
    what = f"evaluation of a model, {own.n_samples} samples, {len(own.nfe)} values of NFE and the adaptive solver"
    peer = "torchdiffeq, clean-fid and prdc in a loop"
    yield Comparison(what, f"{peer}, without standard errors", taken["ours"], taken["peer False"], facts)
    yield Comparison(what, f"{peer}, the same standard errors", taken["ours"], taken["peer True"])


def _scores(made: Array, real: Array, groups: Sequence[Rows]) -> float:
    """Each metric of all samples, and again without each group; returns the Frechet distance."""
    mean, covariance = real.mean(axis=0), np.cov(real, rowvar=False)

    def all_of(samples: Array) -> float:
        distance = float(frechet_distance(samples.mean(axis=0), np.cov(samples, rowvar=False), mean, covariance))
        kernel_distance(samples, real, num_subsets=1, max_subset_size=len(samples))
        compute_prdc(real, samples, nearest_k=params().evaluate.neighbours)
        return distance

    for rows_ in groups:
        all_of(np.delete(made, rows_, axis=0))
    return all_of(made)
