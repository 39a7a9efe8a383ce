"""The whole of params.yaml, and what its DAG iterates over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from reflowbench.runtime.params.data import DataParams, LatentsParams
from reflowbench.runtime.params.group import Group, Name, PositiveInt, ProfileName, distinct
from reflowbench.runtime.params.measures import EvaluateParams, FeaturesParams
from reflowbench.runtime.params.network import Network
from reflowbench.runtime.params.training import BaseParams, GuardParams, MonitorParams, PairsParams, RoundParams

MOST_ROUNDS = 1000
"""Each is a folder of stages."""


class GridParams(Group):
    """The cells of the benchmark: a model for each seed, method and round."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        description="a chain of models for each, and for each method"
    )
    methods: Annotated[list[Name], Field(min_length=1)] = Field(
        description="what is compared: names in `methods`, or in `chains` if there are any"
    )
    rounds: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        description="rounds that are evaluated; training goes on to the last of them"
    )

    @model_validator(mode="after")
    def _ordered(self) -> GridParams:
        for name in ("seeds", "methods"):
            distinct(name, getattr(self, name))
        if self.rounds != sorted(set(self.rounds)):
            raise ValueError("rounds must ascend, without duplicates")
        if self.rounds[-1] > MOST_ROUNDS:
            raise ValueError(f"want at most {MOST_ROUNDS} rounds")
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
