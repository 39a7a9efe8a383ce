"""Parameters of the data: sources, and the latent space."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from reflowbench.runtime.params.group import FileName, Group, PositiveInt, Sha256

SOURCES_WITHOUT_PATH = ("digits", "mnist5k")
"""Their images are inside of packages."""
SOURCES_TO_DOWNLOAD = ("cifar10", "mnist", "fashion")


class DataParams(Group):
    """Where the real images come from."""

    source: Literal["digits", "mnist5k", "mnist", "fashion", "cifar10", "images"] = Field(
        description="digits and mnist5k are in packages; images: your own"
    )
    path: FileName | None = Field(
        default=None, description="where the source's files are: a folder, .zip or .tar; null for digits and mnist5k"
    )
    sha256: Sha256 | None = Field(
        default=None,
        description="checksum of these files; null for digits and mnist5k, elsewhere it gets an error that says it",
    )
    download: bool = Field(default=False, description="let torchvision fetch a missing cifar10, mnist or fashion")
    limit_gib: PositiveInt = Field(
        default=1, description="of source images: most GiB that the files, and the decoded images, may take"
    )
    n_images: PositiveInt | None = Field(description="use only the first n images (null: all)")
    heldout: Annotated[float, Field(gt=0, le=0.5)] | None = Field(
        description="share that no model is trained on; null: the source's own test images are held out instead"
    )
    dequantize: bool = Field(description="spread each pixel uniformly over its grey level")

    @model_validator(mode="after")
    def _fits_the_source(self) -> DataParams:
        if self.source not in SOURCES_WITHOUT_PATH and not self.path:
            kind = "images" if self.source == "images" else "its files"
            raise ValueError(
                f"source is {self.source}: give data.path (a folder, .zip or .tar of {kind}) and its data.sha256"
            )
        if self.source in SOURCES_WITHOUT_PATH and (self.path, self.sha256) != (None, None):
            raise ValueError(f"source is {self.source}, which has no path and no sha256: make both null")
        if self.download and self.source not in SOURCES_TO_DOWNLOAD:
            raise ValueError(f"download: only {', '.join(SOURCES_TO_DOWNLOAD)} can be fetched, not {self.source}")
        if self.heldout is None and self.source not in SOURCES_TO_DOWNLOAD:
            raise ValueError(f"heldout is null, but source {self.source} has no test images of its own: give a share")
        return self


class LatentsParams(Group):
    """The space that models work in: pixels, principal components of the images, or latents of an autoencoder."""

    kind: Literal["none", "pca", "autoencoder"] = Field(description="none: pixels; pca: principal components")
    components: PositiveInt | None = Field(default=None, description="of pca: how many, the leading ones")
    whiten: bool = Field(
        default=True,
        description="of pca: give every component unit variance; false: divide all by one number, so that the mean "
        "variance is 1",
    )
    path: FileName | None = Field(
        default=None, description="of autoencoder: folder with config.json and safetensors weights"
    )
    sha256: Sha256 | None = Field(default=None, description="checksum of both; null gets an error that says it")
    encode: Literal["mean", "sample"] = Field(
        description="mean: the same latents each time; sample: drawn once, from the encoder's law"
    )
    scale: Annotated[float, Field(gt=0)] = Field(description="of the autoencoder's latents, to about unit variance")
    batch: PositiveInt = Field(description="images that the autoencoder encodes or decodes at a time")

    @model_validator(mode="after")
    def _fits_the_kind(self) -> LatentsParams:
        if not self.path and self.sha256:
            raise ValueError("sha256 without a path: give latents.path, a folder, or make both null")
        for kind, name in (("pca", "components"), ("autoencoder", "path")):
            if self.kind == kind and not getattr(self, name):
                raise ValueError(f"kind is {kind}: give latents.{name}")
            if self.kind != kind and getattr(self, name):
                raise ValueError(f"{name} is given, but kind is {self.kind}: make kind {kind}, or {name} null")
        return self
