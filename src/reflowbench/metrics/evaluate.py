"""Everything that is measured of one model, in one pass over the solvers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from reflowbench.core.randomness import noise
from reflowbench.core.schemes import ADAPTIVE, NFE_PER_STEP
from reflowbench.data.blocks import BLOCK, in_blocks
from reflowbench.data.images import ImageSet
from reflowbench.data.packed import PackedImages
from reflowbench.data.space import Space
from reflowbench.data.streamed import fit_pixels
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.adaptive import solve_adaptive
from reflowbench.flow.path import Velocity
from reflowbench.metrics import diversity, families, inversion
from reflowbench.metrics.families import Family
from reflowbench.metrics.measurement import Measurement, UndefinedError
from reflowbench.metrics.memorization import MOST, closer_to_training, nearest_distance
from reflowbench.metrics.reference import Reference
from reflowbench.metrics.straightness import sample_with_geometry
from reflowbench.runtime.distributed import spread, world
from reflowbench.runtime.params import EvaluateParams
from reflowbench.runtime.resume import flat, part_of
from reflowbench.runtime.workspace import State

ADAPTIVE_ROWS = 1024
"""Samples that share the step sizes of the adaptive solver."""


@dataclass(frozen=True)
class _Made:
    """Samples of one solver, in a byte a value: 50,000 of 32 x 32 in colour take 154 MB.

    Attributes:
        images: At grey levels.
        raw: The first ones as the model made them, float32.
        finite: Whether all of them are.
    """

    images: PackedImages
    raw: torch.Tensor
    finite: bool


@dataclass
class Evaluation:
    """Measures one model; iterate to run it, then read the other attributes.

    Of several processes, which all make samples, the first one measures them.

    Every model of a seed is given the same noise at every NFE, so that differences between
    methods and rounds have small variance and sample grids line up.

    Attributes:
        velocity: The model.
        data: Images that the model is trained on and measured against.
        heldout: Images that no model is trained on.
        reference: Metrics of images against `data`.
        params: What to measure.
        seed: Seed of the chain.
        space: Between the values that the model makes and images; None: they are the pixels of `data`.
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
    space: Space | None = None
    measurements: list[Measurement] = field(default_factory=list)
    left_out: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    spectrum: list[float] = field(default_factory=list)
    samples: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing done."""
        self._space = self.space or Space(self.data)
        self._scored = 0  # values of NFE, in ascending order
        # Of the next NFE, by block: grey levels, whether finite, straightness, curvature, and the first raw samples.
        self._measures = world().first
        self._ends: list[list[torch.Tensor]] = []
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
        *fewer, most = sorted(p.nfe)
        for nfe in fewer[self._scored :]:
            yield from self._solve(nfe)
            if self._measures:
                self._score(p.solver, nfe, self._made())
            self._scored, self._ends = self._scored + 1, []
        yield from self._solve(most)
        if not self._inverted:
            if self._measures:
                made = self._made()
                self._score(p.solver, most, made)
                for metric, column in (("straightness", 2), ("total_curvature", 3)):
                    self._mean(metric, self._column(column), p.solver, most)
                self._memorization(made, p.solver, most)
                self._spectrum(made)
                self._invert(made.raw)
            self._inverted = True
            yield "inversion"
        if not self._adapted:
            self._adaptive()
            self._adapted = True
            yield ADAPTIVE

    def _noise(self, rows: range) -> torch.Tensor:
        return noise(self.seed, "evaluation", 0, rows, self._space.dim)

    def _solve(self, nfe: int) -> Iterator[str]:
        """Make the samples of one NFE block by block, from the first one that is not there yet."""
        steps, n = nfe // NFE_PER_STEP[self.params.solver], self.params.n_samples

        def make(index: range) -> Sequence[torch.Tensor]:
            ((block, rows),) = in_blocks(self._noise(index))
            samples, *geometry = sample_with_geometry(self.velocity, block, self.params.solver, steps)
            return *self._kept(samples[:rows]), *(values[:rows] for values in geometry)

        for levels, finite, samples, *geometry in spread(len(self._ends) * BLOCK, n, BLOCK, make):
            self._ends.append([levels, finite, *geometry, self._first_of(samples, len(self._ends) * BLOCK)])
            yield f"{self.params.solver} {nfe}"

    def _kept(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Samples as grey levels, by row whether they are finite, and as they are."""
        return self.data.pack(self._space.images(samples)).levels, torch.isfinite(samples).all(dim=1), samples

    def _first_of(self, samples: torch.Tensor, number: int) -> torch.Tensor:
        """Those of samples from a number on that are kept as they are: the first of all."""
        few = max(self.params.inversion_images, self.params.grid_images)
        return samples[: max(0, few - number)].clone()

    def _column(self, number: int) -> torch.Tensor:
        return torch.cat([block[number] for block in self._ends])

    def _made(self) -> _Made:
        levels = PackedImages(self._column(0), self.data.levels)
        return _Made(levels, self._column(4), bool(self._column(1).all()))

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
        self._ends = [[ends[f"{i}.{j}"] for j in range(5)] for i in range(len(ends) // 5)]

    def _adaptive(self) -> None:
        n, failures = self.params.n_samples, {-1: ""}

        def make(index: range) -> Sequence[torch.Tensor]:
            z = self._noise(index)
            try:
                samples, nfe = solve_adaptive(self.velocity, z, self.params.adaptive_tolerance)
            except ReflowbenchError as error:
                failures[index.start], samples, nfe = str(error), torch.zeros_like(z), 0
            return *self._kept(samples), torch.full((len(z),), nfe)

        parts: list[tuple[torch.Tensor, ...]] = []
        for levels, finite, samples, spent in spread(0, n, ADAPTIVE_ROWS, make):
            parts.append((levels, finite, self._first_of(samples, ADAPTIVE_ROWS * len(parts)), spent))
        last = world().agreed(max(failures))
        failure = max(world().said(failures.get(last, "")))
        if not self._measures:
            return
        levels, finite, raw, spent = (torch.cat(part) for part in zip(*parts, strict=True))
        if failure:
            raw = torch.zeros_like(raw)
        nfe = 0 if failure else math.ceil(spent.sum().item() / n)  # a mean over samples
        self._score(ADAPTIVE, nfe, _Made(PackedImages(levels, self.data.levels), raw, bool(finite.all())), failure)

    def _score(self, solver: str, nfe: int, made: _Made, failure: str = "") -> None:
        if not (failure or made.finite):  # quantized, infinities would pass for black and white
            failure = "the samples are not finite"
        name = solver if solver == ADAPTIVE else f"{solver}_{nfe}"
        self.samples[name] = self._space.images(made.raw[: self.params.grid_images])
        scores = self.reference.measure(made.images, failure=failure)
        self.measurements += [replace(m, solver=solver, nfe=nfe) for m in scores.measurements]
        for features, distances in scores.left_out.items():
            self.left_out.setdefault(features, {})[name] = distances

    def _spectrum(self, made: _Made) -> None:
        if made.finite:
            fitted = fit_pixels(made.images, self.data.shape)
            self.spectrum = list(map(float, diversity.spectrum(fitted)))

    def _invert(self, samples: torch.Tensor) -> None:
        """Invert real images and the model's own samples; compare the real images' noise with N(0, I)."""
        n, steps = self.params.inversion_images, self.params.inversion_steps
        nfe = steps * NFE_PER_STEP[inversion.SOLVER]
        real, synthetic = self._space.real(n), samples[:n]
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

    def _memorization(self, made: _Made, solver: str, nfe: int) -> None:
        few = made.images.select(slice(MOST))

        def distances() -> Sequence[float]:
            if not made.finite:
                raise UndefinedError("the samples are not finite")
            training, heldout, shape = self.data.real, self.heldout.real, self.data.shape
            nearest = nearest_distance(few, training, shape).median().item()
            return nearest, closer_to_training(few, training, heldout, shape)

        self._record(("nearest_training_distance", "closer_to_training"), distances, solver, nfe, len(few))

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
