"""Everything that is measured of one model, in one pass over the solvers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from reflowbench.core.data.images import ImageSet
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.flow.blocks import in_blocks
from reflowbench.core.flow.path import Velocity
from reflowbench.core.flow.schemes import ADAPTIVE, NFE_PER_STEP
from reflowbench.core.flow.solvers import solve_adaptive
from reflowbench.core.params import EvaluateParams
from reflowbench.core.randomness import noise
from reflowbench.metrics import inversion
from reflowbench.metrics.classifier import Classifier
from reflowbench.metrics.frechet import frechet_distance
from reflowbench.metrics.kernel import KernelDistance
from reflowbench.metrics.measurement import FEATURES, Measurement
from reflowbench.metrics.memorization import closer_to_training, nearest_distance
from reflowbench.metrics.straightness import sample_with_straightness


@dataclass
class Evaluation:
    """Measures one model; iterate to run it, then read `measurements` and `samples`.

    Every model of a seed is given the same noise at every NFE, so that differences between
    methods and rounds have small variance and sample grids line up.

    Attributes:
        velocity: The model.
        data: Images that the model is trained on and measured against.
        heldout: Images that no model is trained on.
        classifier: Feature network.
        params: What to measure.
        seed: Seed of the chain.
        measurements: Filled by iterating.
        samples: The first images of each NFE, shape (grid_images, dim), rounded to grey levels.
    """

    velocity: Velocity
    data: ImageSet
    heldout: ImageSet
    classifier: Classifier
    params: EvaluateParams
    seed: int
    measurements: list[Measurement] = field(default_factory=list)
    samples: dict[str, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of parts."""
        return len(self.params.nfe) + 2

    def __iter__(self) -> Iterator[str]:
        """Measure, yielding the name of each part that is done.

        Raises:
            ReflowbenchError: If samples are not finite.
        """
        p = self.params
        self._real = self.classifier.features(self.data.real)
        self._kernel_distance = KernelDistance(self._real)
        z = noise(self.seed, "evaluation", 0, range(p.n_samples), self.data.dim)
        for nfe in sorted(p.nfe):
            samples, straightness = self._solve(z, nfe)
            self._score(p.solver, nfe, samples)
            yield f"{p.solver} {nfe}"
        self._add("straightness", straightness, p.solver, nfe, n_samples=p.n_samples)
        self._memorization(samples, p.solver, nfe)
        self._invert(samples)
        yield "inversion"
        samples, nfe = solve_adaptive(self.velocity, z, p.adaptive_tolerance)
        self._score(ADAPTIVE, nfe, samples)
        yield ADAPTIVE

    def _solve(self, z: torch.Tensor, nfe: int) -> tuple[torch.Tensor, float]:
        steps = nfe // NFE_PER_STEP[self.params.solver]
        samples, lengths = [], []
        for block, rows in in_blocks(z):
            end, straightness = sample_with_straightness(self.velocity, block, self.params.solver, steps)
            samples.append(end[:rows])
            lengths.append(straightness[:rows])
        return torch.cat(samples), torch.cat(lengths).mean().item()

    def _score(self, solver: str, nfe: int, samples: torch.Tensor) -> None:
        self._finite(samples, f"samples of {solver} at NFE {nfe}")
        p, images = self.params, self.data.quantize(samples)
        features = self.classifier.features(images)
        n = len(images)
        variance = images.double().var(dim=0).sum() / self.data.real.double().var(dim=0).sum()
        self._add("frechet_distance", frechet_distance(features, self._real), solver, nfe, FEATURES, n)
        self._add("kernel_distance", self._kernel_distance(features), solver, nfe, FEATURES, n)
        self._add("variance_ratio", variance.item(), solver, nfe, n_samples=n)
        name = solver if solver == ADAPTIVE else f"{solver}_{nfe}"
        self.samples[name] = images[: p.grid_images]

    def _invert(self, samples: torch.Tensor) -> None:
        """Invert real images and the model's own samples; compare the real images' noise with N(0, I)."""
        n, steps = self.params.inversion_images, self.params.inversion_steps
        nfe = steps * NFE_PER_STEP[inversion.SOLVER]
        for name, images in (("real", self.data.images[:n]), ("synthetic", samples[:n])):
            noise_, back = inversion.invert_and_return(self.velocity, images, steps)
            self._finite(noise_, f"noise of inverted {name} images")
            self._finite(back, f"reconstructions of {name} images")
            values = {f"reconstruction_error_{name}": inversion.reconstruction_error(images, back)}
            if name == "real":
                values |= inversion.noise_law(noise_)
            for metric, value in values.items():
                self._add(metric, value, inversion.SOLVER, nfe, n_samples=len(images))

    @staticmethod
    def _finite(values: torch.Tensor, name: str) -> None:
        if not torch.isfinite(values).all():
            raise ReflowbenchError(f"{name} are not finite: the model has diverged; lower round.lr")

    def _memorization(self, samples: torch.Tensor, solver: str, nfe: int) -> None:
        images, n = self.data.quantize(samples), len(samples)
        nearest = nearest_distance(images, self.data.real).median().item()
        self._add("nearest_training_distance", nearest, solver, nfe, n_samples=n)
        share = closer_to_training(images, self.data.real, self.heldout.real)
        self._add("closer_to_training", share, solver, nfe, n_samples=n)

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
