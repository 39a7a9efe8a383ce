"""Parameters of the theory stages: theory/params.yaml, the only file that they read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from reflowbench.core.schemes import FixedSolver
from reflowbench.runtime.config import parse, read_yaml
from reflowbench.runtime.params import (
    Fraction,
    Group,
    Name,
    Network,
    OptimParams,
    PairsParams,
    PositiveInt,
    check_whole_steps,
    distinct,
)


class SampleSize(Group):
    """How many samples a round of the linear autoencoder trains on, and how many seeds that is repeated with."""

    n: Annotated[int, Field(ge=2)] = Field(description="samples of a round")
    seeds: PositiveInt = Field(description="repetitions")


class FitParams(Group):
    """Gradient descent of the linear autoencoder; the second half of its steps is averaged."""

    steps: Annotated[int, Field(ge=2)] = Field(description="of gradient descent")
    batch: PositiveInt = Field(description="samples in a step")
    lr: Annotated[float, Field(gt=0, lt=2)] = Field(description="relative to 1 / mean |y|^2 of the noisy rows y")


class TheoryDaeParams(Group):
    """Theory: a linear denoising autoencoder that is trained on its own outputs, round after round."""

    dim: PositiveInt = Field(description="of the data")
    spectrum: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(
        description="eigenvalues of the data covariance; as many as its rank"
    )
    noise: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(
        description="q, variances of the noise; a stage each"
    )
    real_fractions: dict[Literal["replace", "accumulate"], list[Fraction]] = Field(
        description="r, shares of real data; the rest is synthetic, of the last round (replace) or of all (accumulate)"
    )
    samples: Annotated[list[SampleSize], Field(min_length=1)] = Field(description="sizes of the training set")
    rounds: PositiveInt = Field(description="self-trained rounds")
    fit: FitParams

    @model_validator(mode="after")
    def _consistent(self) -> TheoryDaeParams:
        if self.spectrum != sorted(set(self.spectrum), reverse=True) or len(self.spectrum) > self.dim:
            raise ValueError(f"spectrum {self.spectrum}: want at most dim = {self.dim} values that descend")
        for name in ("noise", "samples"):
            distinct(name, getattr(self, name))
        for history, shares in self.real_fractions.items():
            distinct(f"real_fractions.{history}", shares)
        return self


class TheoryPhaseParams(Group):
    """Theory: gain that is left after many rounds, over real share and noise, and over real share and samples.

    The real data vary in one direction, with variance 1: only its ratio to the noise counts.
    """

    dim: PositiveInt = Field(description="of the data")
    real_fractions: Annotated[list[Fraction], Field(min_length=2)] = Field(description="r, shares of real data")
    noise: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2)] = Field(
        description="q, variances of the noise, with `n` samples a round"
    )
    samples: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=2)] = Field(
        description="samples of a round, with noise `q`"
    )
    n: Annotated[int, Field(ge=2)] = Field(description="samples of a round where `noise` varies")
    q: Annotated[float, Field(gt=0)] = Field(description="noise where `samples` varies")
    rounds: PositiveInt = Field(description="self-trained rounds")
    seeds: PositiveInt = Field(description="repetitions")

    @model_validator(mode="after")
    def _ascending(self) -> TheoryPhaseParams:
        for name in ("real_fractions", "noise", "samples"):
            if getattr(self, name) != sorted(set(getattr(self, name))):
                raise ValueError(f"{name} must ascend")
        return self


class TheoryGaussianParams(Group):
    """Theory: rectified flows to laws in closed form, with a small network."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(description="repetitions")
    targets: Annotated[list[Literal["gaussian", "mixture"]], Field(min_length=1)] = Field(
        description="laws of the real points"
    )
    dims: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = Field(description="of the points")
    points: Annotated[int, Field(ge=2)] = Field(description="real points")
    rounds: PositiveInt = Field(description="self-trained rounds")
    network: Network
    base: OptimParams = Field(description="training of the base model (round 0)")
    round: OptimParams = Field(description="training of each round")
    pairs: PairsParams
    n_samples: Annotated[int, Field(ge=2)] = Field(description="samples that are scored")
    solver: FixedSolver = Field(description="of the samples that are scored")
    nfe: Annotated[list[PositiveInt], Field(min_length=1)] = Field(description="network evaluations of a sample")
    projections: PositiveInt = Field(description="directions of the sliced distance")
    trajectories: PositiveInt = Field(description="that are drawn, of the first seed in two dimensions")

    @model_validator(mode="after")
    def _consistent(self) -> TheoryGaussianParams:
        for name in ("seeds", "targets", "dims", "nfe"):
            distinct(name, getattr(self, name))
        check_whole_steps(self.nfe, self.solver)
        return self


class FlowMethod(Group):
    """A method on laws in closed form."""

    method: Name = Field(description="file of `couplings/`; several entries may share one")
    params: dict[str, Any] = Field(description="the method's whole block")


class TheoryParams(Group):
    """The whole of theory/params.yaml."""

    theory_dae: TheoryDaeParams
    theory_phase: TheoryPhaseParams
    theory_gaussian: TheoryGaussianParams
    methods: Annotated[dict[Name, FlowMethod], Field(min_length=1)] = Field(description="compared by `theory_gaussian`")


def load_theory(path: Path) -> TheoryParams:
    """Read and check theory/params.yaml, apart from the methods' own blocks.

    Args:
        path: The file.

    Returns:
        The typed parameters.

    Raises:
        ReflowbenchError: If the file cannot be read, or any parameter in it is wrong.
    """
    return parse(TheoryParams, read_yaml(path), "", str(path))
