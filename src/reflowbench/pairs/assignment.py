"""Optimal assignment of noise to points: the discrete transport problem, exact or in chunks."""

from __future__ import annotations

import torch

from reflowbench.core.randomness import generator, noise


def assign(noise_: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Pair noise and points one to one with the smallest sum of squared distances.

    Args:
        noise_: Shape (n, dim).
        points: Shape (n, dim).

    Returns:
        int64 of shape (n,): the row of `noise_` that each point is given. The cost is cubic in n.
    """
    from scipy.optimize import linear_sum_assignment

    # |z - x|^2 = |z|^2 + |x|^2 - 2 z.x, and the first two sums are the same for every assignment.
    cost = -(points.double() @ noise_.double().T)
    return torch.from_numpy(linear_sum_assignment(cost.numpy())[1])


def assigned_noise(
    points: torch.Tensor, seed: int, purpose: str, round_: int, repeats: int, chunk: int
) -> torch.Tensor:
    """Fresh standard normal noise for each point, assigned optimally.

    Args:
        points: Shape (n, dim), held in memory together with as much noise.
        seed: Seed of the chain.
        purpose: What the noise is for.
        round_: Round of the chain.
        repeats: How many independent assignments, each of n fresh noises.
        chunk: Points assigned together, at random; 0 is all of them (exact, cubic in n).

    Returns:
        Noise for point i in row `repeat * n + i`, shape (repeats * n, dim). All rows together are
        independent standard normal draws, in another order.
    """
    n, dim = points.shape
    out = torch.empty(repeats * n, dim)
    for repeat in range(repeats):
        start = repeat * n
        fresh = noise(seed, purpose, round_, range(start, start + n), dim)
        order = torch.randperm(n, generator=generator(seed, f"{purpose} chunks", round_, repeat))
        for rows in torch.split(order, chunk or n):
            out[start + rows] = fresh[rows][assign(fresh[rows], points[rows])]
    return out
