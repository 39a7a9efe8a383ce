"""Latents of images: principal components, or an autoencoder's, such as that of Stable Diffusion (arXiv 2112.10752)."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.core.randomness import noise
from reflowbench.data.blocks import in_blocks
from reflowbench.data.images import ImageSet, to_bytes
from reflowbench.data.packed import Rows
from reflowbench.data.principal import PrincipalComponents
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import read_tensors, write_tensors
from reflowbench.runtime.config import shortened
from reflowbench.runtime.device import device
from reflowbench.runtime.params import LatentsParams

TRAIN = "train.safetensors"
"""What models are trained on, in the folder of the images or that of their latents."""
CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
_KEY = "latents_of"
_CHUNK = 2**20


class Codec:
    """Encodes images to latents and decodes latents to images; loads the network when it is first used."""

    def __init__(self, params: LatentsParams, device: torch.device | str = "cpu") -> None:
        """Look at the autoencoder's shape.

        Args:
            params: Where it is, its checksum and how it is used; `params.path` is given.
            device: Where it runs.

        Raises:
            ReflowbenchError: If its files are missing, or not those of the checksum.
        """
        self._params, self._device = params, device
        self._folder = Path(params.path or "")
        found = folder_digest(self._folder)
        if found != params.sha256:
            asked = "null" if params.sha256 is None else repr(params.sha256)
            raise ReflowbenchError(
                f"latents.sha256 = {asked}: want the checksum of {CONFIG} and {WEIGHTS} in {self._folder}; found "
                f"{found}. Write this there if it is the autoencoder that you mean; if not, get it anew"
            )
        try:
            config = json.loads((self._folder / CONFIG).read_text(encoding="utf-8"))
            self._channels, self._factor = int(config["latent_channels"]), 2 ** (len(config["block_out_channels"]) - 1)
            self._inputs = int(config.get("in_channels", 3))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ReflowbenchError(f"{self._folder / CONFIG}: not that of an AutoencoderKL ({error!r})") from None

    def shape_of(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(channels, height, width) of the latents of images of a shape.

        Returns:
            The shape.

        Raises:
            ReflowbenchError: If it cannot encode such images.
        """
        channels, height, width = shape
        if channels not in (1, self._inputs) or height % self._factor or width % self._factor:
            raise ReflowbenchError(
                f"latents.path = {str(self._folder)!r}: encodes images of {self._inputs} channels whose sides are "
                f"multiples of {self._factor}, not {shape}"
            )
        return self._channels, height // self._factor, width // self._factor

    def dim_of(self, shape: tuple[int, int, int]) -> int:
        """Values of the latents of an image."""
        return math.prod(self.shape_of(shape))

    @torch.no_grad()
    def encode(self, images: torch.Tensor, numbers: range, shape: tuple[int, int, int]) -> torch.Tensor:
        """Latents of images, times the scale that gives them about unit variance.

        Args:
            images: In [-1, 1], shape (n, values of an image).
            numbers: Which images of the set they are: the counter of the noise, if latents are sampled.
            shape: (channels, height, width) of the images.

        Returns:
            float32 of shape (n, values of the latents), not clipped.
        """
        latent = self.shape_of(shape)
        parts = [torch.empty(0, math.prod(latent))]
        for number, (block, rows) in enumerate(in_blocks(images, self._params.batch)):
            pixels = block.reshape(-1, *shape).expand(-1, self._inputs, -1, -1)
            law = self._network.encode(pixels.to(self._device)).latent_dist
            values = law.mean
            if self._params.encode == "sample":
                start = numbers.start + number * len(block)
                z = noise(0, "latents", 0, range(start, start + len(block)), math.prod(latent))
                values = law.mean + law.std * z.reshape(-1, *latent).to(self._device)
            parts.append(values.flatten(1)[:rows].float().cpu() * self._params.scale)
        return torch.cat(parts)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
        """Images of latents.

        Args:
            latents: Shape (n, values of the latents).
            shape: (channels, height, width) of the images; of one channel they are the mean over the network's.

        Returns:
            float32 of shape (n, values of an image), nominally in [-1, 1].
        """
        latent, parts = self.shape_of(shape), [torch.empty(0, math.prod(shape))]
        for block, rows in in_blocks(latents, self._params.batch):
            values = (block / self._params.scale).reshape(-1, *latent).to(self._device)
            pixels = self._network.decode(values).sample.float().cpu()
            pixels = pixels.mean(dim=1, keepdim=True) if shape[0] == 1 else pixels
            parts.append(pixels.flatten(1)[:rows])
        return torch.cat(parts)

    @cached_property
    def _network(self) -> Any:
        try:
            from diffusers import AutoencoderKL
        except ImportError as error:
            raise ReflowbenchError(
                f"latents.path = {str(self._folder)!r}: the autoencoder needs the optional package diffusers, which is "
                f"not installed ({error}); run `pip install -e '.[latents]'` in the root of the repository"
            ) from None
        try:
            with torch.random.fork_rng(devices=[]):  # initial weights must not move the global generator
                network = AutoencoderKL.from_pretrained(
                    str(self._folder), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
                )
        except Exception as error:  # it raises whatever it stumbles over in files that are something else
            said = shortened(f"{type(error).__name__}: {error}")
            raise ReflowbenchError(f"{self._folder}: not an AutoencoderKL of diffusers ({said})") from error
        return network.eval().requires_grad_(False).to(self._device)


def folder_digest(folder: Path) -> str:
    """Checksum of an autoencoder's two files: what `sha256sum config.json *.safetensors | sha256sum` prints of them.

    Returns:
        64 hexadecimal digits.

    Raises:
        ReflowbenchError: If one of them is missing.
    """
    total = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        try:
            with (folder / name).open("rb") as file:
                total.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n".encode())
        except OSError as error:
            raise ReflowbenchError(
                f"latents.path = {str(folder)!r}: cannot read {name} ({error.strerror}). Want a folder with {CONFIG} "
                f"and {WEIGHTS} of an AutoencoderKL, such as the folder vae of Stable Diffusion; nothing is downloaded"
            ) from None
    return total.hexdigest()


LatentSpace = Codec | PrincipalComponents
"""Encodes images and decodes latents."""


@dataclass(frozen=True)
class LatentSet(ImageSet):
    """Latents of images, which models are trained on in place of the images.

    Attributes:
        images: The latents, float32 of shape (n, dim), of any size.
        shape: (channels, height, width) of the latents.
        levels: Grey levels of the images.
        dequantized: Whether the encoded images were spread over their grey levels.
        image_shape: (channels, height, width) of the images.
        codec: Decodes the latents; None for an autoencoder's where nobody looks at them.
    """

    image_shape: tuple[int, int, int] = (1, 1, 1)
    codec: LatentSpace | None = None

    @property
    def real(self) -> torch.Tensor:
        """The latents as they are, which have no grey levels."""
        return self.images[:]

    def quantize(self, images: torch.Tensor) -> torch.Tensor:
        """Latents have no grey levels to be rounded to."""
        return images

    def to_bytes(self, images: Rows) -> NDArray[np.uint8]:
        """What 8-bit files of the decoded images would hold.

        Args:
            images: Latents, shape (n, dim).

        Returns:
            Shape (n, height, width, channels).

        Raises:
            ReflowbenchError: If there is nothing to decode them by.
        """
        if self.codec is None:
            raise ReflowbenchError(
                "these are an autoencoder's latents: name what decodes them by latents.kind and latents.path"
            )
        latents = images[:]
        pixels = self.codec.decode(latents.where(torch.isfinite(latents), 0), self.image_shape)
        return to_bytes(super().quantize(pixels), self.image_shape)

    def blank(self) -> LatentSet:
        """The decoder alone, with a latent of zeros."""
        return replace(self, images=torch.zeros(1, self.dim), labels=torch.zeros(1, dtype=torch.int64))

    def save(self, path: Path) -> None:
        """Write the set as one safetensors file."""
        own, explained = self.codec.saved() if isinstance(self.codec, PrincipalComponents) else ({}, {})
        facts = self._facts() | {_KEY: list(self.image_shape)} | explained
        write_tensors(path, {"latents": self.images[:], "labels": self.labels} | own, facts)


def encoded(data: ImageSet, params: LatentsParams, device: torch.device | str = "cpu") -> LatentSet:
    """The latents of a set of images.

    Args:
        data: The training images. Principal components are fitted to them.
        params: The latent space; `kind` is not none.
        device: Where an autoencoder runs.

    Returns:
        The latents, with what decodes them.

    Raises:
        ReflowbenchError: If the images do not suit the space.
    """
    codec: LatentSpace
    if params.kind == "pca":
        codec = PrincipalComponents.fit(data.images, params.components or 0, whiten=params.whiten)
    else:
        codec = Codec(params, device)
    size, parts = 4 * _CHUNK // max(1, data.dim) + 1, []
    for start in range(0, len(data), size):
        images = data.images[start : start + size]
        parts.append(codec.encode(images, range(start, start + len(images)), data.shape))
    latents = torch.cat(parts)
    return LatentSet(latents, data.labels, codec.shape_of(data.shape), data.levels, data.dequantized, data.shape, codec)


def open_space(path: Path, params: LatentsParams, device: torch.device | str = "cpu") -> LatentSpace | None:
    """What encodes and decodes the latents that models are trained on; None where they are trained on pixels.

    Args:
        path: The file of `LatentSet.save`.
        params: The latent space.
        device: Where an autoencoder runs.

    Returns:
        The space.

    Raises:
        ReflowbenchError: If the file is missing, damaged, or of another kind of space; or the autoencoder is.
    """
    if params.kind != "pca":
        return Codec(params, device) if params.path else None
    found = open_data(path, params)
    space = found.codec if isinstance(found, LatentSet) else None
    if not isinstance(space, PrincipalComponents) or len(space.spread) != params.components:
        raise ReflowbenchError(f"{path}: not {params.components} principal components; run `dvc repro encode_latents`")
    return space


def open_data(path: Path, params: LatentsParams | None = None) -> ImageSet:
    """Read what models are trained on: images, or latents of them.

    Args:
        path: A file of `ImageSet.save` or `LatentSet.save`.
        params: Names the autoencoder, to see decoded images; principal components are in the file.

    Returns:
        The set.

    Raises:
        ReflowbenchError: If the file is missing or damaged, or the autoencoder is.
    """
    tensors, facts = read_tensors(path)
    if _KEY not in facts:
        return ImageSet.made_of(path, tensors, facts)
    try:
        latents, labels = tensors["latents"], tensors["labels"]
        shape, image_shape = tuple(map(int, facts["shape"])), tuple(map(int, facts[_KEY]))
        right = latents.dtype == torch.float32 and latents.shape == (len(labels), math.prod(shape)) and len(labels)
        if not right or not torch.isfinite(latents).all() or len(shape) != 3 or len(image_shape) != 3:
            raise ValueError(f"latents of {tuple(latents.shape)} for {len(labels)} labels and the shape {shape}")
        codec: LatentSpace | None = PrincipalComponents.of(tensors, facts)
        if codec is None and params and params.path:
            codec = Codec(params, device())
        levels, dequantized = int(facts["levels"]), bool(facts["dequantized"])
        return LatentSet(latents, labels, shape, levels, dequantized, image_shape, codec)
    except (KeyError, TypeError, ValueError) as error:
        raise ReflowbenchError(f"{path}: not a set of latents ({error}); delete it and run `dvc repro`") from None
