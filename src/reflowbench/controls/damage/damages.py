"""Real images, damaged in known ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field
from torch.nn.functional import one_hot, pad

from reflowbench.core.randomness import generator
from reflowbench.data.images import ImageSet
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.params import Group, PositiveInt


class DamageParams(Group):
    """Group `damage`: real images, cut at random into reference, held-out images and samples, and then damaged."""

    splits: Annotated[int, Field(ge=8)] = Field(description="random splits of the real images")
    n_reference: PositiveInt = Field(description="images that samples are measured against")
    n_heldout: PositiveInt = Field(description="images that closer_to_training compares the reference with")
    n_samples: PositiveInt = Field(description="samples that are measured; drawn from what the other parts leave over")
    minor: Annotated[float, Field(gt=0, lt=0.5)] = Field(description="imbalanced: share of half of the classes")
    copies: Annotated[int, Field(ge=2)] = Field(description="duplicated: how often each image is there")
    copy_noise: Annotated[float, Field(gt=0)] = Field(description="near_duplicated: noise of each copy")
    shrink: Annotated[float, Field(gt=0, lt=1)] = Field(description="shrunk: factor of deviations from the mean image")
    class_shrink: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="class_means: the same, from the class's mean"
    )
    blur: Annotated[float, Field(gt=0, le=0.25)] = Field(description="blurred: weight of each neighbouring pixel")
    noise: Annotated[float, Field(gt=0)] = Field(description="noisy: standard deviation; images lie in [-1, 1]")


@dataclass(frozen=True)
class Split:
    """Real images in three disjoint parts.

    Attributes:
        reference: What samples are measured against: the training images of a model.
        heldout: Images that no model saw.
        spare: Where samples come from.
    """

    reference: ImageSet
    heldout: ImageSet
    spare: ImageSet


def split(data: ImageSet, params: DamageParams, number: int) -> Split:
    """Cut images at random.

    Args:
        data: All real images.
        params: Sizes of the parts.
        number: Which split; each is drawn anew, so that splits overlap.

    Returns:
        The parts.

    Raises:
        ReflowbenchError: If fewer than twice `damage.n_samples` images are left for samples.
    """
    order = torch.randperm(len(data), generator=generator(0, "damage split", step=number))
    sizes = (params.n_reference, params.n_heldout)
    if len(data) - sum(sizes) < 2 * params.n_samples:
        raise ReflowbenchError(
            f"damage.n_reference + n_heldout = {sum(sizes)} of {len(data)} images: want 2 x {params.n_samples} left "
            "over for samples (damage.n_samples)"
        )
    parts = order.tensor_split((sizes[0], sum(sizes)))
    return Split(*(replace(data, images=data.images[rows], labels=data.labels[rows]) for rows in parts))


def of_classes(pool: ImageSet, major: torch.Tensor, minor: float, n: int) -> torch.Tensor:
    """Lost classes, of which a generator makes few images or none.

    Args:
        pool: Images to choose from.
        major: The classes that are kept, int64, shape (kept,).
        minor: Share of the samples that is left to all others.
        n: Number of samples.

    Returns:
        Different images of the pool as they are, in its order, shape (n, dim).

    Raises:
        ReflowbenchError: If the pool has too few.
    """
    kept = torch.isin(pool.labels, major)
    few = round(minor * n)
    rows = torch.cat([kept.nonzero()[: n - few, 0], (~kept).nonzero()[:few, 0]])
    if len(rows) < n:
        raise ReflowbenchError(f"damage.n_samples = {n}: only {len(rows)} images are of the right classes; lower it")
    # In the pool's order, which is random: what cuts samples into parts wants parts that are alike.
    return pool.images[rows.sort().values]


def duplicate(images: torch.Tensor, copies: int, noise: float, draw: torch.Generator) -> torch.Tensor:
    """Mode collapse onto single images, each of them good: the first ones, over and over, in random order.

    Args:
        images: Shape (n, dim).
        copies: How often each is there; the last one may be there less often.
        noise: Standard deviation of what is added to every copy; 0 for exact ones.
        draw: Where the randomness comes from.

    Returns:
        Shape (n, dim).
    """
    n = len(images)
    copied = images[torch.arange(n) // copies][torch.randperm(n, generator=draw)]
    return add_noise(copied, noise, draw) if noise else copied


def shrink(images: torch.Tensor, centres: torch.Tensor, factor: float) -> torch.Tensor:
    """Lost variance: each deviation from a centre is multiplied by a factor, and the centres stay where they are.

    Args:
        images: Shape (n, dim).
        centres: Of all images, shape (dim,), or of each, shape (n, dim).
        factor: Of the deviations; the variance around the centres falls by its square.

    Returns:
        Shape (n, dim).
    """
    return centres + factor * (images - centres)


def class_means(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean image of each image's class, shape (n, dim)."""
    members = one_hot(labels).to(images.dtype)
    means = members.T @ images / members.sum(dim=0)[:, None]
    return means[labels]


def blur(images: torch.Tensor, shape: tuple[int, int, int], weight: float) -> torch.Tensor:
    """Lost detail: each pixel is mixed with its neighbours, along both axes; constant and mean brightness stay.

    Args:
        images: Flat, shape (n, channels * height * width).
        shape: (channels, height, width).
        weight: Of each of the two neighbours along an axis; the pixel keeps 1 - 2 weight.

    Returns:
        Shape (n, channels * height * width).
    """
    x = images.reshape(-1, *shape)
    for axis, size in ((2, shape[1]), (3, shape[2])):
        padding = (0, 0, 1, 1) if axis == 2 else (1, 1, 0, 0)
        padded = pad(x, padding, mode="replicate")
        before, after = padded.narrow(axis, 0, size), padded.narrow(axis, 2, size)
        x = (1 - 2 * weight) * x + weight * (before + after)
    return x.reshape(images.shape)


def add_noise(images: torch.Tensor, sigma: float, draw: torch.Generator) -> torch.Tensor:
    """A generator that stops short of clean images: independent Gaussian noise of one standard deviation."""
    return images + sigma * torch.randn(images.shape, generator=draw)


def _half(data: ImageSet, draw: torch.Generator) -> torch.Tensor:
    """Random half of the classes: what a metric sees should not hang on which ones."""
    return torch.randperm(data.classes, generator=draw)[: data.classes // 2]


Damage = Callable[[Split, torch.Tensor, DamageParams, torch.Generator], torch.Tensor]
DAMAGES: Mapping[str, Damage] = {
    # Other real images: what the metrics must not see.
    "none": lambda s, x, p, draw: s.spare.images[len(x) : 2 * len(x)],
    "classes_dropped": lambda s, x, p, draw: of_classes(s.spare, _half(s.spare, draw), 0.0, len(x)),
    "imbalanced": lambda s, x, p, draw: of_classes(s.spare, _half(s.spare, draw), p.minor, len(x)),
    "duplicated": lambda s, x, p, draw: duplicate(x, p.copies, 0.0, draw),
    "near_duplicated": lambda s, x, p, draw: duplicate(x, p.copies, p.copy_noise, draw),
    "shrunk": lambda s, x, p, draw: shrink(x, x.mean(dim=0), p.shrink),
    "class_means": lambda s, x, p, draw: shrink(x, class_means(x, s.spare.labels[: len(x)]), p.class_shrink),
    "blurred": lambda s, x, p, draw: blur(x, s.spare.shape, p.blur),
    "noisy": lambda s, x, p, draw: add_noise(x, p.noise, draw),
    # A model that stores its training images and gives them out again.
    "memorised": lambda s, x, p, draw: s.reference.images[torch.randperm(len(s.reference), generator=draw)[: len(x)]],
}
"""By name: samples that are made of a split and its undamaged samples x, the first of the spare images."""
