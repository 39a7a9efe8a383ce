"""Tables of the linear autoencoder's rounds: a line per setting, kind of fit and round."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from reflowbench.errors import ReflowbenchError
from reflowbench.theory.dae.autoencoder import Fit, Measured, Setting, gradient_descent, least_squares, train_rounds
from reflowbench.theory.params import TheoryDaeParams, TheoryPhaseParams

Line = dict[str, Any]
CONDITIONS = ("noise", "history", "real", "samples", "seeds", "fit", "round")


@dataclass(frozen=True)
class Job:
    """Rounds of one setting, for a process of its own.

    Attributes:
        setting: The setting.
        rounds: How many rounds follow round 0.
        params: Of gradient descent; None for least squares only.
        last_only: Whether only the last round is wanted.
    """

    setting: Setting
    rounds: int
    params: Any = None
    last_only: bool = False


def dae_jobs(params: TheoryDaeParams, noise: float) -> list[Job]:
    """Every setting of one noise variance, those with most rows first.

    Returns:
        The settings, each of which is a job of its own.

    Raises:
        ReflowbenchError: If there is no setting of `replace`, which the closed forms are about, or a number of samples
            is there twice.
    """
    if not params.real_fractions.get("replace"):
        raise ReflowbenchError("theory_dae.real_fractions.replace: want at least one share of real data, such as [0.0]")
    sizes = [size.n for size in params.samples]
    if len(set(sizes)) < len(sizes):
        raise ReflowbenchError(f"theory_dae.samples: n = {sizes} has a duplicate; raise its seeds instead")
    return [
        Job(
            Setting(tuple(params.spectrum), params.dim, noise, real, history, size.n, size.seeds),
            params.rounds,
            params.fit,
        )
        for size in sorted(params.samples, key=lambda size: -size.n * size.seeds)
        for history, shares in params.real_fractions.items()
        for real in shares
    ]


def phase_jobs(params: TheoryPhaseParams) -> list[Job]:
    """Every point of both diagrams: (real share, noise) by `n` samples, and (real share, samples) at noise `q`."""
    points = {(q, params.n) for q in params.noise} | {(params.q, n) for n in params.samples}
    return [
        Job(Setting((1.0,), params.dim, q, real, "replace", n, params.seeds), params.rounds, last_only=True)
        for q, n in sorted(points, key=lambda point: (-point[1], point[0]))
        for real in params.real_fractions
    ]


def run(job: Job) -> list[Line]:
    """Train all rounds of a setting.

    Args:
        job: The setting.

    Returns:
        Lines of `CONDITIONS`, and for every measurement its mean over repetitions and, as `..._std`, the standard
        deviation (NaN for a single one); of the leading gain also the smallest, as `gains_1_min`. A measurement
        that a repetition does not have is left out.
    """
    fits: dict[str, Fit] = {"least_squares": least_squares}
    if job.params:
        fits = {"trained": gradient_descent(job.params), **fits}
    s = job.setting
    lines = []
    for j, measured in enumerate(train_rounds(s, fits, job.rounds)):
        if job.last_only and j < job.rounds:
            continue
        for fit, values in measured.items():
            conditions = (s.noise, s.history, s.real, s.samples, s.seeds, fit, j)
            smallest = {"gains_1_min": float(values.gains[:, 0].min())}
            lines.append({**dict(zip(CONDITIONS, conditions, strict=True)), **dict(_moments(values)), **smallest})
    return lines


def _moments(measured: Measured) -> Iterator[tuple[str, float]]:
    for field in fields(Measured):
        value: torch.Tensor = getattr(measured, field.name)
        columns: Mapping[str, torch.Tensor] = (
            {field.name: value} if value.ndim == 1 else {f"{field.name}_{i + 1}": v for i, v in enumerate(value.T)}
        )
        for name, column in columns.items():
            there = column[~column.isnan()]
            yield name, float(there.mean())
            yield f"{name}_std", float(there.std()) if len(there) > 1 else math.nan


def to_csv(lines: list[Line]) -> str:
    """Lines as CSV: conditions as they are, measurements with six significant digits."""
    text = [",".join(lines[0])]
    text += [",".join(str(v) if name in CONDITIONS else _text(v) for name, v in line.items()) for line in lines]
    return "\n".join(text) + "\n"


def _text(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
