"""Parameters of the velocity networks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reflowbench.runtime.params.group import Group, PositiveInt


class NetworkParams(Group):
    """The velocity network. What it has depends on its `name`: each kind is a class of its own, see `Network`."""

    name: str


class MLPParams(NetworkParams):
    """A residual perceptron on flat images."""

    name: Literal["mlp"]
    hidden: PositiveInt = Field(description="width")
    blocks: PositiveInt = Field(description="residual blocks")
    time_features: Annotated[int, Field(ge=2, multiple_of=2)] = Field(description="sines and cosines of t")


class ConvParams(NetworkParams):
    """What networks with convolutions share."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(description="share of values dropped in training")
    channels_last: bool = Field(default=False, description="layout of images and kernels in memory")
    compile: bool = Field(
        default=False, description="by torch.compile: a minute at the start of each process, then faster on a GPU"
    )


class UNetParams(ConvParams):
    """A U-Net with residual blocks and self-attention (DDPM; Dhariwal and Nichol 2021)."""

    name: Literal["unet"]
    patch: PositiveInt = Field(
        default=1, description="side of the squares of pixels that become the channels of one position"
    )
    channels: PositiveInt = Field(description="of the first level")
    multipliers: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        description="of the channels, for each level; each level has half the height and width of the last"
    )
    blocks: PositiveInt = Field(description="residual blocks of a level")
    attention: list[PositiveInt] = Field(
        description="heights of the levels with self-attention; the middle has it always"
    )
    head_channels: PositiveInt = Field(description="channels of an attention head")


Network = Annotated[MLPParams | UNetParams, Field(discriminator="name")]
"""Parameters of any kind of network, told apart by their `name`."""
