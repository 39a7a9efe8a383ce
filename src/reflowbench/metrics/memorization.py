"""Does a model copy its training images? Distances of samples to training and to held-out images, on pixels."""

from __future__ import annotations

import torch

from reflowbench.core.randomness import generator

SUBSETS = 20


def nearest_distance(samples: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Euclidean distance of each sample to the nearest reference.

    Args:
        samples: Shape (n, dim).
        references: Shape (m, dim).

    Returns:
        float64 of shape (n,).
    """
    return torch.cdist(samples.double(), references.double()).min(dim=1).values


def closer_to_training(samples: torch.Tensor, training: torch.Tensor, heldout: torch.Tensor) -> float:
    """Share of samples that lie closer to training images than to as many held-out ones.

    1/2 for a model that treats both alike; for one that copies, (1 + h/m) / 2 or more, since the original
    of a copy is among the h training images that are compared only with probability h/m (Meehan et al.
    2020, arXiv 2004.05675, without its test statistic). Mean over random subsets, ties counted half.

    Args:
        samples: Shape (n, dim).
        training: Shape (m, dim).
        heldout: Shape (h, dim), h at most m.

    Returns:
        The share.
    """
    distance = torch.cdist(samples.double(), training.double())
    other = nearest_distance(samples, heldout)
    shares = []
    for subset in range(SUBSETS):
        rows = torch.randperm(len(training), generator=generator(0, "memorization", step=subset))[: len(heldout)]
        nearest = distance[:, rows].min(dim=1).values
        shares.append(((nearest < other).double() + (nearest == other).double() / 2).mean())
    return torch.stack(shares).mean().item()
