"""Parameters of what models are measured with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from reflowbench.core.schemes import FixedSolver, Precision
from reflowbench.runtime.params.group import FileName, Group, PositiveInt, Sha256, check_whole_steps


class FeaturesParams(Group):
    """The classifier of the data set, whose penultimate layer is the feature space of the quality metrics."""

    dim: PositiveInt = Field(description="of the features")
    steps: PositiveInt = Field(description="optimizer steps of the classifier")
    batch: PositiveInt = Field(description="images in a step")
    lr: Annotated[float, Field(gt=0)] = Field(description="learning rate")
    seed: Annotated[int, Field(ge=0)] = Field(description="of the classifier, the same for all models")


class InceptionParams(Group):
    """The Inception network of FID, which no package ships."""

    mode: Literal["clean", "legacy_tensorflow", "legacy_pytorch"] = Field(description="clean-fid's pipeline")
    weights: FileName | None = Field(description="file with the weights")
    sha256: Sha256 | None = Field(description="its checksum")


class EvaluateParams(Group):
    """What every model is measured with."""

    features: Annotated[list[Literal["classifier", "pixels", "inception", "efficientnet"]], Field(min_length=1)] = (
        Field(description="feature spaces of the distances; the first one is the report's")
    )
    inception: InceptionParams
    pca: PositiveInt | None = Field(description="also the Frechet distance in so many principal components")
    neighbours: PositiveInt = Field(description="k of precision, recall, density and coverage")
    groups: Annotated[int, Field(ge=2)] = Field(description="groups of samples left out in turn for standard errors")
    n_samples: Annotated[int, Field(ge=2)] = Field(description="samples of each model and NFE")
    solver: FixedSolver = Field(description="at fixed NFE")
    nfe: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        description="network evaluations of a sample; all is measured at each"
    )
    adaptive_tolerance: Annotated[float, Field(gt=0)] = Field(description="of the adaptive solver (dopri5)")
    floor_repeats: Annotated[int, Field(ge=2)] = Field(
        description="random draws of real images that give the floor, what real images score"
    )
    grid_images: PositiveInt = Field(description="samples that are kept, and shown")
    inversion_images: Annotated[int, Field(ge=2)] = Field(description="images that are inverted")
    inversion_steps: PositiveInt = Field(description="Heun steps of the inversion")
    precision: Precision = Field(default="float32", description="of the velocity network")

    @model_validator(mode="after")
    def _whole_steps(self) -> EvaluateParams:
        check_whole_steps(self.nfe, self.solver)
        if len(set(self.features)) != len(self.features):
            raise ValueError(f"features {self.features}: named twice")
        if "inception" in self.features and not (self.inception.weights and self.inception.sha256):
            raise ValueError("features name inception: give evaluate.inception.weights (a file) and its sha256")
        return self
