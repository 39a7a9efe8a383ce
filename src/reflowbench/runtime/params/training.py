"""Parameters of training, and of the pairs that are trained on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from reflowbench.core.schemes import FixedSolver, Loss, Precision, TimeLaw
from reflowbench.runtime.params.group import Group, PositiveInt, Storage


class OptimParams(Group):
    """One run of the training loop. Lengths and periods are in optimizer steps."""

    steps: PositiveInt = Field(description="optimizer steps")
    batch: PositiveInt = Field(description="pairs in a step")
    lr: Annotated[float, Field(gt=0)] = Field(description="learning rate, after the warm-up")
    schedule: Literal["constant", "cosine"] = Field(description="of the learning rate")
    warmup: Annotated[int, Field(ge=0)] = Field(description="steps in which the learning rate rises from 0")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(description="decay of the moving average of the weights")
    clip: Annotated[float, Field(gt=0)] = Field(description="largest norm of the gradient")
    loss: Loss = Field(description="pseudo_huber has its scale from the dimension (arXiv 2405.20320)")
    times: TimeLaw = Field(
        description="law of t in the loss; with u_shaped the ends count more, with logit_normal the middle"
    )
    lr_end: Annotated[float, Field(ge=0)] = Field(default=0.0, description="learning rate at the end of a cosine")
    weight_decay: Annotated[float, Field(ge=0)] = Field(default=0.0, description="of AdamW; 0: Adam")
    ema_warmup: bool = Field(default=False, description="the n-th average decays by (1 + n) / (10 + n) at most")
    ema_std: Annotated[float, Field(gt=0, le=0.28)] | None = Field(
        default=None, description="relative width of an average by a power of the step, in place of `ema` (EDM2)"
    )
    precision: Precision = Field(default="float32", description="of the passes of training, and of pairs made online")
    microbatch: PositiveInt | None = Field(default=None, description="pairs in one pass; null: the whole batch")

    @model_validator(mode="after")
    def _consistent_laws(self) -> OptimParams:
        if self.ema_warmup and self.ema_std is not None:
            raise ValueError("ema_warmup and ema_std are two laws of the average: give one of them")
        if self.lr_end > self.lr:
            raise ValueError(f"lr_end {self.lr_end:g} is above lr {self.lr:g}")
        return self


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

    steps: PositiveInt = Field(description="optimizer steps")
    batch: PositiveInt = Field(description="noises in a step")
    lr: Annotated[float, Field(gt=0)] = Field(description="learning rate")


class BaseParams(OptimParams):
    """Training of the base model (round 0)."""

    coupling: Literal["independent", "ot"] = Field(description="ot: semidiscrete optimal transport")
    potential: PotentialParams = Field(description="of the coupling ot")
    flip: bool = Field(default=False, description="mirror each image of a batch with probability 1/2")

    @model_validator(mode="after")
    def _flips_what_is_drawn(self) -> BaseParams:
        if self.flip and self.coupling != "independent":
            raise ValueError("flip: only the coupling independent mirrors images; ot has a potential for each as it is")
        return self


class RoundParams(OptimParams):
    """Training of one round, the same for every method: equal budgets by construction."""


class PairsParams(Group):
    """Synthetic and inverted pairs: how many, and the fixed-step solver that makes them."""

    n: PositiveInt = Field(description="synthetic pairs per round")
    solver: FixedSolver = Field(description="of the flow, in both directions")
    steps: PositiveInt = Field(description="of the solver")
    precision: Precision = Field(default="float32", description="of the network's products")
    clip: bool = Field(
        default=True, description="clip generated images to [-1, 1], as published on pixels; false for latents"
    )
    storage: Storage = Field(
        default="float32", description="of stored values; float16 halves the disk, its rounding is below a grey level"
    )


class MonitorParams(Group):
    """What training shows of the model while it runs: curves and sample grids, by Euler from fixed noise."""

    every: PositiveInt = Field(description="optimizer steps between two looks")
    n_samples: Annotated[int, Field(ge=2)] = Field(description="samples that the curves are computed from")
    nfe: PositiveInt = Field(description="network evaluations of each of them")
    grid_images: PositiveInt = Field(description="samples shown at each look")
