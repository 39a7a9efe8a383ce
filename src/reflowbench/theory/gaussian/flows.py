"""Rectified flows to laws in closed form: base models, and chains of a method on top of them, scored round by round."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.core.randomness import generator, noise
from reflowbench.core.schemes import NFE_PER_STEP
from reflowbench.couplings.shared.method import Method
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.path import Velocity
from reflowbench.flow.solvers import trajectory
from reflowbench.metrics.measurement import UndefinedError
from reflowbench.metrics.straightness import sample_with_geometry
from reflowbench.networks import registry as networks
from reflowbench.runtime.artifacts import scratch_folder, write_tensors
from reflowbench.runtime.params import Group
from reflowbench.theory.gaussian.scores import names, scores
from reflowbench.theory.gaussian.targets import DiagonalGaussian, Target, TargetName, as_images, target
from reflowbench.theory.params import TheoryGaussianParams
from reflowbench.training.chain import Chain, base_trainer

DRAWN_DIM = 2
COSTS = ("updates", "train_evaluations", "forward_evaluations", "inversion_evaluations")
"""Facts of a round that are rows too, at NFE 0 as they are about no samples."""
GROUP = "theory_gaussian"


class Cell(NamedTuple):
    """What a chain is trained on.

    Attributes:
        target: Name of the law.
        dim: Its dimension.
        seed: Seed of the chain.
    """

    target: TargetName
    dim: int
    seed: int

    @property
    def law(self) -> Target:
        """The law."""
        return target(self.target, self.dim)

    @property
    def weights(self) -> str:
        """File of its base model."""
        return f"{self.target}-{self.dim}-s{self.seed}.safetensors"


class Row(NamedTuple):
    """One number of the table.

    Attributes:
        cell: What it is about.
        method: An entry of `methods`; or `base` (round 0 of all), `real` (samples of the law itself: the floor) or
            `exact` (closed forms: round 0 a perfect base model, round 1 a perfect Reflow of it).
        round: Round, 0: the base model.
        nfe: Network evaluations per sample; 0 where no flow is solved.
        metric: What was measured.
        value: The number; None where there is none.
        missing: Why there is none.
    """

    cell: Cell
    method: str
    round: int
    nfe: int
    metric: str
    value: float | None
    missing: str = ""


@dataclass
class Result:
    """What a job gives back.

    Attributes:
        cell: What it was about.
        rows: Its part of the table.
        paths: States along trajectories for each round, shape (rounds, steps + 1, n, dim); None where none are drawn.
    """

    cell: Cell
    rows: list[Row] = field(default_factory=list)
    paths: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class BaseJob:
    """Train and score the base model of a cell; its weights go to a folder."""

    cell: Cell
    params: TheoryGaussianParams
    folder: Path


@dataclass(frozen=True)
class ChainJob:
    """Train and score all rounds of an entry of `methods` on a cell, from the base model in a folder."""

    cell: Cell
    params: TheoryGaussianParams
    folder: Path
    name: str
    own: Group


def cells(params: TheoryGaussianParams) -> list[Cell]:
    """All cells, those of the largest dimension first, as they take longest."""
    dims = sorted(params.dims, reverse=True)
    return [Cell(name, dim, seed) for dim in dims for name in params.targets for seed in params.seeds]


def run_base(job: BaseJob) -> Result:
    """Train the base model of a cell, and score it beside samples of the law and the closed-form flows.

    Args:
        job: The job.

    Returns:
        Rows of the methods `base`, `real` and `exact`; trajectories of the base model, as of one round.

    Raises:
        ReflowbenchError: If training diverges.
    """
    cell, p = job.cell, job.params
    law = cell.law
    trainer = base_trainer(as_images(law, p.points, cell.seed), p.network, p.base, cell.seed, path=f"{GROUP}.base")
    for _ in trainer:
        pass
    networks.save(job.folder / cell.weights, trainer.ema, p.network, (1, 1, cell.dim))
    rows = [*_measured(cell, p, "base", 0, trainer.ema), *_costs(cell, "base", 0, trainer.facts())]
    real = scores(law.sample(p.n_samples, generator(cell.seed, "theory floor"))[0], law, p.projections)
    rows += [Row(cell, "real", 0, 0, name, value) for name, value in real.items()]
    rows += _measured(cell, p, "exact", 0, law.velocity)
    if isinstance(law, DiagonalGaussian):
        rows += _measured(cell, p, "exact", 1, law.straight_velocity)
    return Result(cell, rows, np.stack([_paths(cell, p, trainer.ema)]) if _is_drawn(cell, p) else None)


def run_chain(job: ChainJob, method: Method) -> Result:
    """Train all rounds of a method on a cell, and score each.

    Args:
        job: The job.
        method: What the entry's file of `couplings/` defines.

    Returns:
        Rows of the method for every round and NFE, those after a divergence without values but with the reason; and
        the trajectories of the rounds that were trained.

    Raises:
        ReflowbenchError: If the base model cannot be read, or the method's parameters do not suit the batches.
    """
    cell, p = job.cell, job.params
    if fault := method.batch_fault(job.own, p.round.batch):
        raise ReflowbenchError(f"methods.{job.name}.params.{fault} (of {GROUP})")
    base, _, _ = networks.load(job.folder / cell.weights)
    images = as_images(cell.law, p.points, cell.seed)
    result, paths = Result(cell), []
    with scratch_folder() as scratch:
        path = f"{GROUP}.round"
        chain = Chain(base, images, method, job.own, p.round, p.pairs, cell.seed, scratch, path=path)
        for k, reason in _train(chain, p.rounds):
            if reason:
                result.rows += _absent(cell, p, job.name, k, reason)
                continue
            result.rows += _measured(cell, p, job.name, k, chain.model)
            result.rows += _costs(cell, job.name, k, chain.facts)
            if _is_drawn(cell, p):
                paths.append(_paths(cell, p, chain.model))
    result.paths = np.stack(paths) if paths else None
    return result


def _train(chain: Chain, rounds: int) -> Iterator[tuple[int, str]]:
    """Train round by round: the number of each, and why there is no model of it or of one before ("" if there is)."""
    reason = ""
    for k in range(1, rounds + 1):
        try:
            for _ in () if reason else chain.train_round():
                pass
        except ReflowbenchError as error:
            reason = str(error)
        yield k, reason


def _noise(cell: Cell, n: int) -> torch.Tensor:
    """Where the samples start: the same for every method, round, NFE and law of a seed and a dimension."""
    return noise(cell.seed, "theory samples", 0, range(n), cell.dim)


def _measured(cell: Cell, p: TheoryGaussianParams, method: str, k: int, velocity: Velocity) -> Iterator[Row]:
    """Rows of a model at every NFE; the straightness is not defined for a single step."""
    start = _noise(cell, p.n_samples)
    for nfe in p.nfe:
        steps = nfe // NFE_PER_STEP[p.solver]
        samples, straightness, _ = sample_with_geometry(velocity, start, p.solver, steps)
        reason = ""
        try:
            values = scores(samples, cell.law, p.projections) | {"straightness": straightness.mean().item()}
        except UndefinedError as error:
            values, reason = {}, str(error)
        for name in _names(cell, steps):
            yield Row(cell, method, k, nfe, name, values.get(name), reason)


def _names(cell: Cell, steps: int) -> list[str]:
    return [*names(cell.law), *(["straightness"] if steps > 1 else [])]


def _costs(cell: Cell, method: str, k: int, facts: Mapping[str, float]) -> Iterator[Row]:
    for name in COSTS:
        yield Row(cell, method, k, 0, name, facts[name])


def _absent(cell: Cell, p: TheoryGaussianParams, method: str, k: int, reason: str) -> Iterator[Row]:
    """The rows of a round that was not trained."""
    named = [(nfe, name) for nfe in p.nfe for name in _names(cell, nfe // NFE_PER_STEP[p.solver])]
    for nfe, name in [*named, *((0, name) for name in COSTS)]:
        yield Row(cell, method, k, nfe, name, None, reason)


def _is_drawn(cell: Cell, p: TheoryGaussianParams) -> bool:
    return cell.dim == DRAWN_DIM and cell.seed == p.seeds[0]


def _paths(cell: Cell, p: TheoryGaussianParams, velocity: Velocity) -> NDArray[np.float32]:
    """States along trajectories at the largest NFE, noise and end included, shape (steps + 1, n, dim)."""
    start = _noise(cell, p.trajectories)
    states = trajectory(velocity, start, p.solver, max(p.nfe) // NFE_PER_STEP[p.solver])
    return np.stack([start.numpy(), *(x.numpy() for x in states)])


def write_results(folder: Path, results: Iterable[Result], params: TheoryGaussianParams) -> None:
    """Write `scores.csv`, a row per number, and `trajectories.safetensors`, a tensor per law that is drawn.

    Args:
        folder: Where to; it exists.
        results: Of all cells, in any order.
        params: What was asked for; it orders the rows.
    """
    found = {result.cell: result for result in results}
    ordered = [found[Cell(name, dim, seed)] for name in params.targets for dim in params.dims for seed in params.seeds]
    with (folder / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*Cell._fields, *Row._fields[1:]])
        for cell, *row, value, missing in (row for result in ordered for row in result.rows):
            table.writerow([*cell, *row, "" if value is None else f"{value:.9g}", missing])
    steps = max(params.nfe) // NFE_PER_STEP[params.solver]
    drawn: dict[str, torch.Tensor] = {r.cell.target: torch.from_numpy(r.paths) for r in ordered if r.paths is not None}
    write_tensors(folder / "trajectories.safetensors", drawn, {"times": [i / steps for i in range(steps + 1)]})
