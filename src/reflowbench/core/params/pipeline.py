"""The whole of params.yaml, and what its DAG iterates over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from reflowbench.core.params.data import DataParams, LatentsParams
from reflowbench.core.params.group import Group, Name, PositiveInt, ProfileName, distinct
from reflowbench.core.params.measures import EvaluateParams, FeaturesParams
from reflowbench.core.params.network import Network
from reflowbench.core.params.training import BaseParams, GuardParams, MonitorParams, PairsParams, RoundParams


class GridRound(Group):
    """One round of the chain and the round it starts from."""

    k: PositiveInt = Field(description="the round")
    prev: Annotated[int, Field(ge=0)] = Field(description="the round whose model it starts from")


class GridParams(Group):
    """The cells of the benchmark. dvc.yaml iterates over these lists."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        description="a chain of models for each, and for each method"
    )
    methods: Annotated[list[Name], Field(min_length=1)] = Field(
        description="what is compared: names in `methods`, or in `chains` if there are any"
    )
    stages: dict[str, list[Name]] = Field(description="methods by stage group; follows from methods")
    space: Literal["data", "latents"] = Field(description="what models are trained on; follows from latents.kind")
    encoded: list[Literal["train"]] = Field(description="parts that are encoded to latents; follows from latents.kind")
    rounds: Annotated[list[GridRound], Field(min_length=1)] = Field(description="self-trained rounds, in their order")
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
            distinct(name, getattr(self, name))
        for i, r in enumerate(self.rounds):
            if (r.k, r.prev) != (i + 1, i):
                raise ValueError(f"rounds[{i}] must be {{k: {i + 1}, prev: {i}}}: each round starts from the last")
        last = len(self.rounds)
        if self.ks != sorted(set(self.ks)) or self.ks[-1] != last:
            raise ValueError(f"ks must ascend and end with {last}, the last round")
        return self


class Chain(Group):
    """A variant of a method of the ablations: its own values where they differ from the common blocks."""

    method: Name = Field(description="of which it is a variant")
    base: Literal["independent", "ot"] = Field(description="coupling of the base model that it starts from")
    params: dict[str, Any] = Field(description="what differs from the method's block")
    round: dict[str, Any] = Field(description="what differs from the block `round`")
    pairs: dict[str, Any] = Field(description="what differs from the block `pairs`")


class Params(Group):
    """The whole of params.yaml."""

    profile: ProfileName = Field(description="Name of the profile, which the results carry.")
    grid: GridParams
    data: DataParams
    latents: LatentsParams
    features: FeaturesParams
    network: Network = Field(description="The velocity network.")
    base: BaseParams
    round: RoundParams
    guard: GuardParams
    monitor: MonitorParams
    pairs: PairsParams
    methods: dict[Name, dict[str, Any]] = Field(
        description="Methods and variants of them: `method` names the coupling, the rest are its parameters."
    )
    chains: dict[Name, Chain] = Field(default_factory=dict, description="Variants of methods, for the ablations.")
    evaluate: EvaluateParams
