"""Principal components of images: a linear latent space, fitted once on the training images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from reflowbench.core.gaussians import Moments
from reflowbench.data.blocks import in_blocks
from reflowbench.data.packed import Rows
from reflowbench.errors import ReflowbenchError

LEAST = 1e-9
"""Share of the largest eigenvalue below which a direction counts as constant: whitening would scale up rounding."""
MOST_VALUES = 12_288
"""Values of an image; the covariance has as many rows and columns."""
_CHUNK = 4096
_MEAN, _AXES, _SPREAD = "pca_mean", "pca_axes", "pca_spread"


@dataclass(frozen=True)
class PrincipalComponents:
    """Encodes images as leading principal components z = (x - mean) V / spread, and decodes them.

    Attributes:
        mean: Mean image, float32 of shape (d,).
        axes: Orthonormal directions V by descending variance, float32 of shape (components, d).
        spread: What each component is divided by, float32 of shape (components,): its standard deviation, or the same
            number for all.
        explained: Share of the images' variance in these components.
    """

    mean: torch.Tensor
    axes: torch.Tensor
    spread: torch.Tensor
    explained: float

    @classmethod
    def fit(cls, images: Rows, components: int, *, whiten: bool) -> PrincipalComponents:
        """Fit to images, in float64; the sign of an axis makes its largest value positive.

        Args:
            images: Shape (n, d).
            components: How many to keep.
            whiten: Give each unit variance; else all are divided by the root of their mean variance.

        Returns:
            The space.

        Raises:
            ReflowbenchError: If the images span fewer dimensions, or have too many values.
        """
        n, d = images.shape
        if d > MOST_VALUES:
            raise ReflowbenchError(
                f"latents.kind = pca: images of {d} values are too large (at most {MOST_VALUES}); use an autoencoder"
            )
        moments = Moments(d)
        for start in range(0, n, _CHUNK):
            moments.update(images[start : start + _CHUNK].double().numpy())
        rank = 0
        if n > 1:
            fitted = moments.gaussian()
            values, vectors = torch.linalg.eigh(torch.from_numpy(fitted.covariance))
            values, axes = values.flip(0).clamp(min=0), vectors.flip(1).T.contiguous()
            rank = int((values > LEAST * values[0]).sum())
        if components > rank:
            raise ReflowbenchError(
                f"latents.components = {components}: the {n} training images of {d} values vary in only {rank} "
                "directions (some pixels are constant, or images are few); "
                + (f"give at most {rank}" if rank else "principal components need two different images")
            )
        kept, axes = values[:components], axes[:components]
        largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
        spread = kept.sqrt() if whiten else kept.mean().sqrt().expand(components)
        return cls(
            torch.from_numpy(fitted.mean).float(),
            (axes * largest.sign()).float(),
            spread.float().contiguous(),
            float(kept.sum() / values.sum()),
        )

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> PrincipalComponents | None:
        """Read what `saved` gave.

        Returns:
            The space; None if the file is of something else.

        Raises:
            ValueError: If the shapes do not match.
        """
        if _MEAN not in tensors:
            return None
        mean, axes, spread = tensors[_MEAN], tensors[_AXES], tensors[_SPREAD]
        if axes.shape != (len(spread), len(mean)) or not all(t.isfinite().all() for t in (mean, axes, spread)):
            raise ValueError(f"axes of {tuple(axes.shape)} for {len(spread)} components of {len(mean)} values")
        return cls(mean, axes, spread, float(facts["explained"]))

    def saved(self) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """Tensors and facts to save with the latents."""
        return {_MEAN: self.mean, _AXES: self.axes, _SPREAD: self.spread}, {"explained": self.explained}

    def shape_of(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape of the latents.

        Returns:
            (components, 1, 1).

        Raises:
            ReflowbenchError: If it was fitted to images of another size.
        """
        if math.prod(shape) != len(self.mean):
            raise ReflowbenchError(f"principal components of images of {len(self.mean)} values, not of {shape}")
        return len(self.spread), 1, 1

    def dim_of(self, shape: tuple[int, int, int]) -> int:
        """Number of components."""
        return self.shape_of(shape)[0]

    def encode(self, images: torch.Tensor, numbers: range, shape: tuple[int, int, int]) -> torch.Tensor:
        """Components of images.

        Args:
            images: Shape (n, d).
            numbers: Not used: encoding draws nothing.
            shape: (channels, height, width) of the images.

        Returns:
            float32 of shape (n, components), not clipped.
        """
        self.shape_of(shape)
        parts = [((block - self.mean) @ self.axes.T / self.spread)[:rows] for block, rows in in_blocks(images)]
        return torch.cat([torch.empty(0, len(self.spread)), *parts])

    def decode(self, latents: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
        """Images of components, float32 of shape (n, d), not clipped."""
        self.shape_of(shape)
        parts = [((block * self.spread) @ self.axes + self.mean)[:rows] for block, rows in in_blocks(latents)]
        return torch.cat([torch.empty(0, len(self.mean)), *parts])
