"""Typed parameters: one class per group of params.yaml. A method's own parameters stand in its coupling's file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reflowbench.core.flow.schemes import NFE_PER_STEP, FixedSolver, Loss, TimeLaw

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
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
        if annotation is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value


class DataParams(Group):
    """Where the real images come from."""

    source: Literal["digits"]
    n_images: PositiveInt | None = Field(description="use only the first n images (null: all)")
    heldout: Annotated[float, Field(gt=0, le=0.5)] = Field(description="share that no model is trained on")
    dequantize: bool = Field(description="spread each pixel uniformly over its grey level")


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
    weights: str | None = Field(description="file with the weights")
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
        per_step = NFE_PER_STEP[self.solver]
        bad = [n for n in self.nfe if n % per_step]
        if bad or len(set(self.nfe)) != len(self.nfe):
            raise ValueError(f"nfe {self.nfe}: want distinct multiples of {per_step} for solver {self.solver}")
        if len(set(self.features)) != len(self.features):
            raise ValueError(f"features {self.features}: named twice")
        if "inception" in self.features and not (self.inception.weights and self.inception.sha256):
            raise ValueError("features name inception: give evaluate.inception.weights (a file) and its sha256")
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
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} has a duplicate")
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
    monitor: MonitorParams
    pairs: PairsParams
    methods: dict[Name, dict[str, Any]] = Field(description="One block per method, under the method's name.")
    chains: dict[Name, Chain] = Field(default_factory=dict, description="Variants of methods, for a study.")
    evaluate: EvaluateParams
