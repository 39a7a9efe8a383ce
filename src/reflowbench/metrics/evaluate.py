"""Everything that is measured of one model, in one pass over the solvers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from reflowbench.core.config import EvaluateParams
from reflowbench.core.data.images import ImageSet
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.flow.blocks import in_blocks
from reflowbench.core.flow.path import Velocity
from reflowbench.core.flow.solvers import nfe_per_step, solve_adaptive
from reflowbench.core.randomness import generator, noise
from reflowbench.metrics.classifier import Classifier
from reflowbench.metrics.frechet import frechet_distance
from reflowbench.metrics.kernel import KernelDistance
from reflowbench.metrics.straightness import sample_with_straightness

FEATURES = "classifier"
ADAPTIVE = "dopri5"


@dataclass(frozen=True)
class Measurement:
    """One number with its conditions.

    Attributes:
        metric: What was measured.
        value: The number.
        solver: Solver of the samples ("" where none is involved).
        nfe: Network evaluations per sample (0 where none is involved).
        features: Feature space ("" for metrics on pixels).
        n_samples: Samples it was measured on.
    """

    metric: str
    value: float
    solver: str = ""
    nfe: int = 0
    features: str = ""
    n_samples: int = 0


@dataclass
class Evaluation:
    """Measures one model; iterate to run it, then read `measurements` and `samples`.

    Every model of a seed is given the same noise at every NFE, so that differences between
    methods and rounds have small variance and sample grids line up.

    Attributes:
        velocity: The model.
        data: Real images.
        classifier: Feature network.
        params: What to measure.
        seed: Seed of the chain.
        measurements: Filled by iterating.
        samples: The first images of each NFE, shape (grid_images, dim), rounded to grey levels.
    """

    velocity: Velocity
    data: ImageSet
    classifier: Classifier
    params: EvaluateParams
    seed: int
    measurements: list[Measurement] = field(default_factory=list)
    samples: dict[str, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of sets of samples."""
        return len(self.params.nfe) + 1

    def __iter__(self) -> Iterator[str]:
        """Measure, yielding the name of each set of samples that is done.

        Raises:
            ReflowbenchError: If samples are not finite.
        """
        p = self.params
        self._real = self.classifier.features(self.data.real)
        self._kernel_distance = KernelDistance(self._real)
        self._floor()
        z = noise(self.seed, "evaluation", 0, range(p.n_samples), self.data.dim)
        for nfe in sorted(p.nfe):
            samples, straightness = self._solve(z, nfe)
            self._score(p.solver, nfe, samples)
            yield f"{p.solver} {nfe}"
        self._add("straightness", straightness, p.solver, nfe, n_samples=p.n_samples)
        samples, nfe = solve_adaptive(self.velocity, z, p.adaptive_tolerance)
        self._score(ADAPTIVE, nfe, samples)
        yield ADAPTIVE

    def _solve(self, z: torch.Tensor, nfe: int) -> tuple[torch.Tensor, float]:
        steps = nfe // nfe_per_step(self.params.solver)
        samples, lengths = [], []
        for block, rows in in_blocks(z):
            end, straightness = sample_with_straightness(self.velocity, block, self.params.solver, steps)
            samples.append(end[:rows])
            lengths.append(straightness[:rows])
        return torch.cat(samples), torch.cat(lengths).mean().item()

    def _score(self, solver: str, nfe: int, samples: torch.Tensor) -> None:
        if not torch.isfinite(samples).all():
            raise ReflowbenchError(
                f"samples of {solver} at NFE {nfe} are not finite: the model has diverged; lower round.lr"
            )
        p, images = self.params, self.data.quantize(samples)
        features = self.classifier.features(images)
        n = len(images)
        variance = images.double().var(dim=0).sum() / self.data.real.double().var(dim=0).sum()
        self._add("frechet_distance", frechet_distance(features, self._real), solver, nfe, FEATURES, n)
        self._add("kernel_distance", self._kernel_distance(features), solver, nfe, FEATURES, n)
        self._add("variance_ratio", variance.item(), solver, nfe, n_samples=n)
        name = solver if solver == ADAPTIVE else f"{solver}_{nfe}"
        self.samples[name] = images[: p.grid_images]

    def _floor(self) -> None:
        """Real against real: what a perfect model of the data would score.

        Frechet distance: `n_samples` images drawn from the real ones with replacement, against all of
        them. The kernel distance is unbiased, but not if both sets share images: two random halves.
        """
        p, scores, half = self.params, [], len(self._real) // 2
        for repeat in range(p.floor_repeats):
            draw = generator(0, "floor", step=repeat)
            rows = torch.randint(len(self._real), (p.n_samples,), generator=draw).numpy()
            order = torch.randperm(len(self._real), generator=draw).numpy()
            kernel = KernelDistance(self._real[order[half:]])(self._real[order[:half]])
            scores.append((frechet_distance(self._real[rows], self._real), kernel))
        frechet, kernel = np.mean(scores, axis=0)
        self._add("frechet_distance_floor", float(frechet), features=FEATURES, n_samples=p.n_samples)
        self._add("kernel_distance_floor", float(kernel), features=FEATURES, n_samples=half)

    def _add(
        self,
        metric: str,
        value: float,
        solver: str = "",
        nfe: int = 0,
        features: str = "",
        n_samples: int = 0,
    ) -> None:
        self.measurements.append(Measurement(metric, value, solver, nfe, features, n_samples))
