"""Everything that is measured of one model, in one pass over the solvers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from reflowbench.core.data.images import ImageSet
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.flow.blocks import BLOCK, in_blocks
from reflowbench.core.flow.path import Velocity
from reflowbench.core.flow.schemes import ADAPTIVE, NFE_PER_STEP
from reflowbench.core.flow.solvers import solve_adaptive
from reflowbench.core.gaussians import fit
from reflowbench.core.params import EvaluateParams
from reflowbench.core.randomness import noise
from reflowbench.core.resume import State, flat, part_of
from reflowbench.metrics import diversity, families, inversion
from reflowbench.metrics.families import Family
from reflowbench.metrics.measurement import Measurement, UndefinedError
from reflowbench.metrics.memorization import closer_to_training, nearest_distance
from reflowbench.metrics.reference import Reference
from reflowbench.metrics.straightness import sample_with_geometry


@dataclass
class Evaluation:
    """Measures one model; iterate to run it, then read the other attributes.

    Every model of a seed is given the same noise at every NFE, so that differences between
    methods and rounds have small variance and sample grids line up.

    Attributes:
        velocity: The model.
        data: Images that the model is trained on and measured against.
        heldout: Images that no model is trained on.
        reference: Metrics of images against `data`.
        params: What to measure.
        seed: Seed of the chain.
        measurements: Filled by iterating.
        left_out: By feature space and solver, Frechet distances without each group of samples.
        spectrum: Eigenvalues of the samples' covariance at the highest NFE, descending.
        samples: The first images of each NFE, shape (grid_images, dim), rounded to grey levels.
    """

    velocity: Velocity
    data: ImageSet
    heldout: ImageSet
    reference: Reference
    params: EvaluateParams
    seed: int
    measurements: list[Measurement] = field(default_factory=list)
    left_out: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    spectrum: list[float] = field(default_factory=list)
    samples: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing done."""
        self._scored = 0  # values of NFE, in ascending order
        self._ends: list[list[torch.Tensor]] = []  # of the next NFE: samples, straightness, curvature of each block
        self._inverted = self._adapted = False

    @property
    def done(self) -> int:
        """Parts that are done."""
        return self._scored * self._blocks + len(self._ends) + self._inverted + self._adapted

    @property
    def _blocks(self) -> int:
        return math.ceil(self.params.n_samples / BLOCK)

    def __len__(self) -> int:
        """Number of parts: blocks of samples for each NFE, the inversion and the adaptive solver."""
        return self._blocks * len(self.params.nfe) + 2

    def __iter__(self) -> Iterator[str]:
        """Measure, yielding the name of each part that is done. A metric that fails is recorded as missing."""
        p = self.params
        z = noise(self.seed, "evaluation", 0, range(p.n_samples), self.data.dim)
        *fewer, most = sorted(p.nfe)
        for nfe in fewer[self._scored :]:
            yield from self._solve(z, nfe)
            self._score(p.solver, nfe, self._joined()[0])
            self._scored, self._ends = self._scored + 1, []
        yield from self._solve(z, most)
        if not self._inverted:
            samples, straightness, curvature = self._joined()
            self._score(p.solver, most, samples)
            for metric, lengths in (("straightness", straightness), ("total_curvature", curvature)):
                self._mean(metric, lengths, p.solver, most)
            self._memorization(samples, p.solver, most)
            self._spectrum(samples)
            self._invert(samples)
            self._inverted = True
            yield "inversion"
        if not self._adapted:
            self._adaptive(z)
            self._adapted = True
            yield ADAPTIVE

    def _solve(self, z: torch.Tensor, nfe: int) -> Iterator[str]:
        """Make the samples of one NFE block by block, from the first one that is not there yet."""
        steps = nfe // NFE_PER_STEP[self.params.solver]
        for block, rows in in_blocks(z[len(self._ends) * BLOCK :]):
            ends = sample_with_geometry(self.velocity, block, self.params.solver, steps)
            self._ends.append([values[:rows] for values in ends])
            yield f"{self.params.solver} {nfe}"

    def _joined(self) -> Sequence[torch.Tensor]:
        return [torch.cat(parts) for parts in zip(*self._ends, strict=True)]

    def state(self) -> State:
        """What was measured, and the samples of the NFE that is at work."""
        ends = {f"{i}.{j}": values for i, block in enumerate(self._ends) for j, values in enumerate(block)}
        facts = {
            "measurements": [asdict(m) for m in self.measurements],
            "left_out": self.left_out,
            "spectrum": self.spectrum,
            "scored": self._scored,
            "inverted": self._inverted,
            "adapted": self._adapted,
        }
        return flat({"samples": self.samples, "ends": ends}), facts

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.measurements = [Measurement(**m) for m in facts["measurements"]]
        self.left_out, self.spectrum = facts["left_out"], facts["spectrum"]
        self._scored, self._inverted, self._adapted = facts["scored"], facts["inverted"], facts["adapted"]
        self.samples, ends = part_of(tensors, "samples"), part_of(tensors, "ends")
        self._ends = [[ends[f"{i}.{j}"] for j in range(3)] for i in range(len(ends) // 3)]

    def _adaptive(self, z: torch.Tensor) -> None:
        try:
            samples, nfe = solve_adaptive(self.velocity, z, self.params.adaptive_tolerance)
        except ReflowbenchError as error:
            self._score(ADAPTIVE, 0, torch.zeros_like(z), str(error))
        else:
            self._score(ADAPTIVE, nfe, samples)

    def _score(self, solver: str, nfe: int, samples: torch.Tensor, failure: str = "") -> None:
        if not (failure or torch.isfinite(samples).all()):  # quantized, infinities would pass for black and white
            failure = "the samples are not finite"
        images = self.data.quantize(samples)
        name = solver if solver == ADAPTIVE else f"{solver}_{nfe}"
        self.samples[name] = images[: self.params.grid_images]
        scores = self.reference.measure(images, failure=failure)
        self.measurements += [replace(m, solver=solver, nfe=nfe) for m in scores.measurements]
        for features, distances in scores.left_out.items():
            self.left_out.setdefault(features, {})[name] = distances

    def _spectrum(self, samples: torch.Tensor) -> None:
        if torch.isfinite(samples).all():
            images = self.data.quantize(samples)
            self.spectrum = list(map(float, diversity.spectrum(fit(images.double().numpy()))))

    def _invert(self, samples: torch.Tensor) -> None:
        """Invert real images and the model's own samples; compare the real images' noise with N(0, I)."""
        n, steps = self.params.inversion_images, self.params.inversion_steps
        nfe = steps * NFE_PER_STEP[inversion.SOLVER]
        real, synthetic = self.data.images[:n], samples[:n]
        noise_, back = inversion.invert_and_return(self.velocity, real, steps)
        _, back_synthetic = inversion.invert_and_return(self.velocity, synthetic, steps)

        def law() -> Sequence[float]:
            return inversion.noise_law(_finite(noise_, "the noise of inverted images"))

        def errors_of(images: torch.Tensor, returned: torch.Tensor) -> Callable[[], Sequence[float]]:
            return lambda: (inversion.reconstruction_error(images, _finite(returned, "the reconstructions")),)

        self._record(inversion.NOISE_LAW, law, inversion.SOLVER, nfe, len(real))
        error = "reconstruction_error"
        self._record((f"{error}_real",), errors_of(real, back), inversion.SOLVER, nfe, len(real))
        self._record(
            (f"{error}_synthetic",), errors_of(synthetic, back_synthetic), inversion.SOLVER, nfe, len(synthetic)
        )

    def _memorization(self, samples: torch.Tensor, solver: str, nfe: int) -> None:
        def distances() -> Sequence[float]:
            found = self.data.quantize(_finite(samples, "the samples"))
            nearest = nearest_distance(found, self.data.real).median().item()
            return nearest, closer_to_training(found, self.data.real, self.heldout.real)

        self._record(("nearest_training_distance", "closer_to_training"), distances, solver, nfe, len(samples))

    def _mean(self, metric: str, values: torch.Tensor, solver: str, nfe: int) -> None:
        """Record the mean over samples of what each has, with its standard error."""
        n = len(values)
        self._record((metric,), lambda: (_finite(values, "the trajectories").mean().item(),), solver, nfe, n)
        if self.measurements[-1].value is not None:
            self.measurements[-1] = replace(self.measurements[-1], error=values.std().item() / n**0.5)

    def _record(
        self, metrics: Sequence[str], compute: Callable[[], Sequence[float]], solver: str, nfe: int, n: int
    ) -> None:
        found, _ = families.measure(Family(metrics, lambda rows: compute(), n, errors=False), 0)
        self.measurements += [replace(m, solver=solver, nfe=nfe) for m in found]


def _finite(values: torch.Tensor, name: str) -> torch.Tensor:
    if not torch.isfinite(values).all():
        raise UndefinedError(f"{name} are not finite")
    return values
