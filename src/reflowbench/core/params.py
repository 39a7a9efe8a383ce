"""Typed parameters: one class per group of params.yaml. A method's own parameters stand in its coupling's file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reflowbench.core.flow.schemes import NFE_PER_STEP, FixedSolver, Loss, TimeLaw

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
"""Becomes part of paths, names of stages and command lines."""
FileName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=4096)]
PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Group(BaseModel):
    """Base of all parameter groups: unknown keys and silent type changes are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _integers_are_floats_too(cls, value: Any, info: Any) -> Any:
        """Accept `1` where a float is meant; YAML writers drop the trailing `.0`."""
        annotation = cls.model_fields[info.field_name].annotation
        if annotation is float and type(value) is int and value.bit_length() < 64:
            return float(value)
        return value


def _distinct(name: str, values: list[Any]) -> None:
    if any(value in values[:i] for i, value in enumerate(values)):
        raise ValueError(f"{name} has a duplicate")


def check_whole_steps(nfe: list[int], solver: FixedSolver) -> None:
    """Refuse NFE that are not distinct multiples of what one step of the solver takes.

    Raises:
        ValueError: If they are not.
    """
    per_step = NFE_PER_STEP[solver]
    if any(n % per_step for n in nfe) or len(set(nfe)) != len(nfe):
        raise ValueError(f"nfe {nfe}: want distinct multiples of {per_step} for solver {solver}")


class DataParams(Group):
    """Where the real images come from."""

    source: Literal["digits", "images"]
    path: FileName | None = Field(default=None, description="of the source images: a folder, .zip or .tar of them")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="checksum of these images; null gets an error that says it"
    )
    n_images: PositiveInt | None = Field(description="use only the first n images (null: all)")
    heldout: Annotated[float, Field(gt=0, le=0.5)] = Field(description="share that no model is trained on")
    dequantize: bool = Field(description="spread each pixel uniformly over its grey level")

    @model_validator(mode="after")
    def _images_have_a_path(self) -> DataParams:
        if self.source == "images" and not self.path:
            raise ValueError("source is images: give data.path (a folder, .zip or .tar of images) and its data.sha256")
        if self.source == "digits" and (self.path, self.sha256) != (None, None):
            raise ValueError("source is digits, which has no path and no sha256: make both null")
        return self


class FeaturesParams(Group):
    """The digit classifier whose penultimate layer is the feature space of the quality metrics."""

    dim: PositiveInt
    steps: PositiveInt
    batch: PositiveInt
    lr: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)]


class NetworkParams(Group):
    """The velocity network."""

    name: Literal["mlp"]
    hidden: PositiveInt
    blocks: PositiveInt
    time_features: Annotated[int, Field(ge=2, multiple_of=2)]


class OptimParams(Group):
    """One run of the training loop. Lengths and periods are in optimizer steps."""

    steps: PositiveInt
    batch: PositiveInt
    lr: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine"]
    warmup: Annotated[int, Field(ge=0)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    clip: Annotated[float, Field(gt=0)]
    loss: Loss
    times: TimeLaw = Field(description="law of t in the loss")


class GuardParams(Group):
    """What becomes of a training that diverges: it stops, or goes back and on at a lower learning rate."""

    explosion: Annotated[float, Field(gt=1)] = Field(
        description="a gradient norm is too large at so many times the median of the last 100"
    )
    restarts: Annotated[int, Field(ge=0)] = Field(description="how often to go back; 0: stop at once")
    every: PositiveInt = Field(description="steps between two states that a restart may go back to")
    lr_factor: Annotated[float, Field(gt=0, lt=1)] = Field(description="of the learning rate at each restart")


class PotentialParams(Group):
    """Fit of a semidiscrete transport potential by stochastic gradient (arXiv 2509.25519)."""

    steps: PositiveInt
    batch: PositiveInt
    lr: Annotated[float, Field(gt=0)]


class BaseParams(OptimParams):
    """Training of the base model (round 0)."""

    coupling: Literal["independent", "ot"] = Field(description="ot: semidiscrete optimal transport")
    potential: PotentialParams = Field(description="of the coupling ot")


class RoundParams(OptimParams):
    """Training of one round, the same for every method: equal budgets by construction."""


class PairsParams(Group):
    """Synthetic and inverted pairs: how many, and the fixed-step solver that makes them."""

    n: PositiveInt = Field(description="synthetic pairs per round")
    solver: FixedSolver
    steps: PositiveInt


class MonitorParams(Group):
    """What training shows of the model while it runs: curves and sample grids, by Euler from fixed noise."""

    every: PositiveInt = Field(description="optimizer steps between two looks")
    n_samples: Annotated[int, Field(ge=2)]
    nfe: PositiveInt
    grid_images: PositiveInt


class InceptionParams(Group):
    """The Inception network of FID, which no package ships."""

    mode: Literal["clean", "legacy_tensorflow", "legacy_pytorch"] = Field(description="clean-fid's pipeline")
    weights: FileName | None = Field(description="file with the weights")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(description="its checksum")


class EvaluateParams(Group):
    """What every model is measured with."""

    features: Annotated[list[Literal["classifier", "pixels", "inception", "efficientnet"]], Field(min_length=1)] = (
        Field(description="feature spaces of the distances; the first one is the report's")
    )
    inception: InceptionParams
    pca: PositiveInt | None = Field(description="also the Frechet distance in so many principal components")
    neighbours: PositiveInt = Field(description="k of precision, recall, density and coverage")
    groups: Annotated[int, Field(ge=2)] = Field(description="groups of samples left out in turn for standard errors")
    n_samples: Annotated[int, Field(ge=2)]
    solver: FixedSolver
    nfe: Annotated[list[PositiveInt], Field(min_length=1)]
    adaptive_tolerance: Annotated[float, Field(gt=0)]
    floor_repeats: Annotated[int, Field(ge=2)]
    grid_images: PositiveInt
    inversion_images: Annotated[int, Field(ge=2)] = Field(description="images that are inverted")
    inversion_steps: PositiveInt = Field(description="Heun steps of the inversion")

    @model_validator(mode="after")
    def _whole_steps(self) -> EvaluateParams:
        check_whole_steps(self.nfe, self.solver)
        if len(set(self.features)) != len(self.features):
            raise ValueError(f"features {self.features}: named twice")
        if "inception" in self.features and not (self.inception.weights and self.inception.sha256):
            raise ValueError("features name inception: give evaluate.inception.weights (a file) and its sha256")
        return self


class SampleSize(Group):
    """How many samples a round of the linear autoencoder trains on, and how many seeds that is repeated with."""

    n: Annotated[int, Field(ge=2)]
    seeds: PositiveInt


class FitParams(Group):
    """Gradient descent of the linear autoencoder; the second half of its steps is averaged."""

    steps: Annotated[int, Field(ge=2)]
    batch: PositiveInt
    lr: Annotated[float, Field(gt=0, lt=2)] = Field(description="relative to 1 / mean |y|^2 of the noisy rows y")


class TheoryDaeParams(Group):
    """Theory: a linear denoising autoencoder that is trained on its own outputs, round after round."""

    dim: PositiveInt
    spectrum: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(
        description="eigenvalues of the data covariance; as many as its rank"
    )
    noise: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(
        description="q, variances of the noise; a stage each"
    )
    real_fractions: dict[Literal["replace", "accumulate"], list[Fraction]] = Field(
        description="r, shares of real data; the rest is synthetic data of the last round, or data of all rounds"
    )
    samples: Annotated[list[SampleSize], Field(min_length=1)]
    rounds: PositiveInt
    fit: FitParams

    @model_validator(mode="after")
    def _consistent(self) -> TheoryDaeParams:
        if self.spectrum != sorted(set(self.spectrum), reverse=True) or len(self.spectrum) > self.dim:
            raise ValueError(f"spectrum {self.spectrum}: want at most dim = {self.dim} values that descend")
        for name in ("noise", "samples"):
            _distinct(name, getattr(self, name))
        for history, shares in self.real_fractions.items():
            _distinct(f"real_fractions.{history}", shares)
        return self


class TheoryPhaseParams(Group):
    """Theory: gain that is left after many rounds, over real share and noise, and over real share and samples.

    The real data vary in one direction, with variance 1: only its ratio to the noise counts.
    """

    dim: PositiveInt
    real_fractions: Annotated[list[Fraction], Field(min_length=2)]
    noise: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2)] = Field(description="q, by `n` samples")
    samples: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=2)] = Field(description="at noise `q`")
    n: Annotated[int, Field(ge=2)]
    q: Annotated[float, Field(gt=0)]
    rounds: PositiveInt
    seeds: PositiveInt

    @model_validator(mode="after")
    def _ascending(self) -> TheoryPhaseParams:
        for name in ("real_fractions", "noise", "samples"):
            if getattr(self, name) != sorted(set(getattr(self, name))):
                raise ValueError(f"{name} must ascend")
        return self


class TheoryGaussianParams(Group):
    """Theory: rectified flows to laws in closed form, with a small network."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    targets: Annotated[list[Literal["gaussian", "mixture"]], Field(min_length=1)]
    dims: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]
    points: Annotated[int, Field(ge=2)] = Field(description="real points")
    rounds: PositiveInt
    network: NetworkParams
    base: OptimParams = Field(description="training of the base model (round 0)")
    round: OptimParams = Field(description="training of each round")
    pairs: PairsParams
    n_samples: Annotated[int, Field(ge=2)] = Field(description="samples that are scored")
    solver: FixedSolver
    nfe: Annotated[list[PositiveInt], Field(min_length=1)]
    projections: PositiveInt = Field(description="directions of the sliced distance")
    trajectories: PositiveInt = Field(description="that are drawn, of the first seed in two dimensions")
    methods: dict[Name, dict[str, Any]] = Field(description="over the methods' blocks")

    @model_validator(mode="after")
    def _consistent(self) -> TheoryGaussianParams:
        for name in ("seeds", "targets", "dims", "nfe"):
            _distinct(name, getattr(self, name))
        check_whole_steps(self.nfe, self.solver)
        return self


class GridRound(Group):
    """One round of the chain and the round it starts from."""

    k: PositiveInt
    prev: Annotated[int, Field(ge=0)]


class GridParams(Group):
    """The cells of the benchmark. dvc.yaml iterates over these lists."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    methods: Annotated[list[Name], Field(min_length=1)]
    stages: dict[str, list[Name]] = Field(description="methods by stage group; follows from methods")
    rounds: Annotated[list[GridRound], Field(min_length=1)]
    ks: Annotated[list[PositiveInt], Field(min_length=1)] = Field(description="rounds that are evaluated")

    @field_validator("rounds", mode="before")
    @classmethod
    def _a_list_of_rounds(cls, value: Any) -> Any:
        if isinstance(value, dict):
            raise ValueError("want a list like [{k: 1, prev: 0}, {k: 2, prev: 1}], not a mapping")
        return value

    @model_validator(mode="after")
    def _chained(self) -> GridParams:
        for name in ("seeds", "methods"):
            _distinct(name, getattr(self, name))
        for i, r in enumerate(self.rounds):
            if (r.k, r.prev) != (i + 1, i):
                raise ValueError(f"rounds[{i}] must be {{k: {i + 1}, prev: {i}}}: each round starts from the last")
        last = len(self.rounds)
        if self.ks != sorted(set(self.ks)) or self.ks[-1] != last:
            raise ValueError(f"ks must ascend and end with {last}, the last round")
        return self


class Chain(Group):
    """A variant of a method in a study: its own values where they differ from the common blocks."""

    method: Name
    base: Literal["independent", "ot"] = Field(description="coupling of the base model that it starts from")
    params: dict[str, Any] = Field(description="over the method's block")
    round: dict[str, Any] = Field(description="over the block `round`")
    pairs: dict[str, Any] = Field(description="over the block `pairs`")


class Params(Group):
    """The whole of params.yaml."""

    profile: Name
    grid: GridParams
    data: DataParams
    features: FeaturesParams
    network: NetworkParams
    base: BaseParams
    round: RoundParams
    guard: GuardParams
    monitor: MonitorParams
    pairs: PairsParams
    methods: dict[Name, dict[str, Any]] = Field(description="One block per method, under the method's name.")
    chains: dict[Name, Chain] = Field(default_factory=dict, description="Variants of methods, for a study.")
    evaluate: EvaluateParams
    theory_dae: TheoryDaeParams
    theory_phase: TheoryPhaseParams
    theory_gaussian: TheoryGaussianParams
