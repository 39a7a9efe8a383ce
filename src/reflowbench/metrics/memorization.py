"""Does a model copy its training images? Distances of samples to training and to held-out images, on pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch

from reflowbench.core.randomness import generator
from reflowbench.data.packed import Rows
from reflowbench.data.streamed import pixels

SUBSETS = 20
MOST = 10_000
"""Samples that are worth comparing: the standard error of a share is then 0.005 at most."""
_REFERENCES = 8192
_DISTANCES = 2**24
"""References, and distances, that are in memory at a time."""

Shape = tuple[int, int, int]


def nearest_distance(samples: Rows, references: Rows, shape: Shape | None = None) -> torch.Tensor:
    """Euclidean distance of each sample to the nearest reference.

    Args:
        samples: Shape (n, dim).
        references: Shape (m, dim).
        shape: (channels, height, width), by which large images are averaged down first; None: they are compared as
            they are.

    Returns:
        float64 of shape (n,).
    """
    nearest = torch.full((len(samples),), torch.inf, dtype=torch.float64)

    def take(rows: slice, columns: slice, distance: torch.Tensor) -> None:
        nearest[rows] = torch.minimum(nearest[rows], distance.min(dim=1).values)

    _over_distances(samples, references, shape, take)
    return nearest


def closer_to_training(samples: Rows, training: Rows, heldout: Rows, shape: Shape | None = None) -> float:
    """Share of samples that lie closer to training images than to as many held-out ones.

    1/2 for a model that treats both alike; for one that copies, (1 + h/m) / 2 or more, since the original
    of a copy is among the h training images that are compared only with probability h/m (Meehan et al.
    2020, arXiv 2004.05675, without its test statistic). Mean over random subsets, ties counted half.

    Args:
        samples: Shape (n, dim).
        training: Shape (m, dim).
        heldout: Shape (h, dim), h at most m.
        shape: As for `nearest_distance`.

    Returns:
        The share.
    """
    other = nearest_distance(samples, heldout, shape)
    drawn = torch.zeros(SUBSETS, len(training), dtype=torch.bool)
    for subset in range(SUBSETS):
        order = torch.randperm(len(training), generator=generator(0, "memorization", step=subset))
        drawn[subset, order[: len(heldout)]] = True
    nearest = torch.full((SUBSETS, len(samples)), torch.inf, dtype=torch.float64)

    def take(rows: slice, columns: slice, distance: torch.Tensor) -> None:
        for subset in range(SUBSETS):
            chosen = distance[:, drawn[subset, columns]]
            if chosen.shape[1]:
                nearest[subset, rows] = torch.minimum(nearest[subset, rows], chosen.min(dim=1).values)

    _over_distances(samples, training, shape, take)
    shares = [((own < other).double() + (own == other).double() / 2).mean() for own in nearest]
    return torch.stack(shares).mean().item()


def _over_distances(
    samples: Rows, references: Rows, shape: Shape | None, take: Callable[[slice, slice, torch.Tensor], None]
) -> None:
    """Hand out the distances between all rows in blocks: in a single one if they are few."""

    def values(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(pixels(images, shape)) if shape else images.double()

    high = min(len(references), _REFERENCES)
    wide = max(1, _DISTANCES // max(1, high))
    for first in range(0, len(references), _REFERENCES):
        columns = slice(first, first + _REFERENCES)
        near = values(references[columns])
        for start in range(0, len(samples), wide):
            rows = slice(start, start + wide)
            take(rows, columns, torch.cdist(values(samples[rows]), near))
