"""The space that models work in, as seen from the images that they are measured on: the pixels, or latents."""

from __future__ import annotations

import torch

from reflowbench.data.images import ImageSet
from reflowbench.data.latents import LatentSpace
from reflowbench.data.packed import PackedImages, Rows
from reflowbench.data.principal import PrincipalComponents

_CHUNK = 4096


class Space:
    """Maps what a model makes to images at grey levels, and real images to what a model is trained on."""

    def __init__(self, data: ImageSet, codec: LatentSpace | None = None) -> None:
        """Take in the images.

        Args:
            data: Real images, as pixels.
            codec: Between pixels and latents; None: models work on pixels.

        Raises:
            ReflowbenchError: If the codec is for other images.
        """
        self._data, self._codec = data, codec
        self.dim = codec.dim_of(data.shape) if codec else data.dim

    def images(self, values: torch.Tensor) -> torch.Tensor:
        """Images at grey levels.

        Args:
            values: What a model made, shape (n, dim of the space).

        Returns:
            Shape (n, values of an image).
        """
        return self._data.quantize(self._codec.decode(values, self._data.shape) if self._codec else values)

    @property
    def reconstructions(self) -> Rows | None:
        """Real images, encoded and decoded, at grey levels; None where models work on pixels or decoding is costly."""
        if not isinstance(self._codec, PrincipalComponents):
            return None
        parts = []
        for start in range(0, len(self._data), _CHUNK):
            images = self._data.images[start : start + _CHUNK]
            encoded = self._codec.encode(images, range(start, start + len(images)), self._data.shape)
            parts.append(self._data.pack(self.images(encoded)).levels)
        return PackedImages(torch.cat(parts), self._data.levels)

    def real(self, n: int) -> torch.Tensor:
        """The first n real images as models are trained on them, shape (n, dim of the space)."""
        images = self._data.images[:n]
        return self._codec.encode(images, range(len(images)), self._data.shape) if self._codec else images
