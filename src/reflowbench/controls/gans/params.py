"""Typed parameters of the controls: the groups of controls/params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from reflowbench.core.schemes import FixedSolver
from reflowbench.runtime.params import Group, Network, PairsParams, PositiveInt, RoundParams, check_whole_steps

Variant = Literal["plain", "noise", "wgan_gp", "minibatch", "packing"]
MixtureName = Literal["ring", "grid"]
Positive = Annotated[float, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class GanParams(Group):
    """The adversarial networks: what all variants share, then what single variants add."""

    hidden: PositiveInt = Field(description="width of the hidden layers")
    layers: PositiveInt = Field(description="hidden layers of the generator, and of the discriminator")
    latent: PositiveInt = Field(description="dimensions of the generator's Gaussian noise")
    steps: PositiveInt = Field(description="updates of the discriminator")
    batch: PositiveInt
    lr: Positive
    beta1: Beta
    beta2: Beta
    noise: Positive = Field(description="noise: its standard deviation at the start, in the networks' units")
    critic_steps: PositiveInt = Field(description="wgan_gp: updates of the critic for one of the generator")
    penalty: Positive = Field(description="wgan_gp: weight of the gradient penalty")
    kernels: PositiveInt = Field(description="minibatch: kernels of the discrimination layer")
    kernel_dim: PositiveInt = Field(description="minibatch: dimensions of each kernel")
    group: PositiveInt = Field(description="minibatch: samples that are compared with each other")
    packing: Annotated[int, Field(ge=2)] = Field(description="packing: samples that are judged together")

    @model_validator(mode="after")
    def _whole_groups(self) -> GanParams:
        for name in ("group", "packing"):
            if self.batch % getattr(self, name):
                raise ValueError(f"batch {self.batch}: want a multiple of {name} {getattr(self, name)}")
        return self


class FlowParams(Group):
    """Rectified flow and its Reflow rounds on the same mixtures."""

    rounds: PositiveInt = Field(description="Reflow rounds after the base model")
    points: PositiveInt = Field(description="points of the training set")
    network: Network
    base: RoundParams = Field(description="training of the base model (round 0)")
    round: RoundParams = Field(description="training of each Reflow round")
    pairs: PairsParams = Field(description="synthetic pairs per round, and their solver")
    solver: FixedSolver = Field(description="of the samples that are scored")
    nfe: Annotated[list[PositiveInt], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole_steps(self) -> FlowParams:
        check_whole_steps(self.nfe, self.solver)
        return self


class GansParams(Group):
    """Group `gans`: generators on mixtures whose modes are known."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    mixtures: Annotated[list[MixtureName], Field(min_length=1)]
    variants: Annotated[list[Variant], Field(min_length=1)]
    n_samples: PositiveInt = Field(description="samples that are scored")
    gan: GanParams
    flow: FlowParams

    @model_validator(mode="after")
    def _no_duplicates(self) -> GansParams:
        for name in ("seeds", "mixtures", "variants"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} has a duplicate")
        return self
