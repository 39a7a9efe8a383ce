"""Semidiscrete optimal transport: one dual potential per point, and a maximum search for each fresh noise."""

from __future__ import annotations

import torch

from reflowbench.core.optimizer import Adam
from reflowbench.core.randomness import noise
from reflowbench.runtime.params import PotentialParams


class Potential:
    """Transport from N(0, I) to the uniform law on given points (arXiv 2509.25519, section 3).

    The dual potential g maximises mean(g) + E_z min_i(|z - x_i|^2 / 2 - g_i). A noise z belongs to
    argmin_i(|z - x_i|^2 / 2 - g_i), so the law of z stays exactly normal, and no noise is used twice.
    """

    def __init__(self, points: torch.Tensor, dual: torch.Tensor) -> None:
        """Take in the points and their potential.

        Args:
            points: Shape (n, dim).
            dual: g, shape (n,).
        """
        self.dual = dual
        self._points = points
        self._offset = dual - points.square().sum(dim=1) / 2

    def match(self, z: torch.Tensor) -> torch.Tensor:
        """Row of the point that each noise belongs to.

        Args:
            z: Noise, shape (m, dim).

        Returns:
            int64 of shape (m,).
        """
        return torch.addmm(self._offset, z, self._points.T).argmax(dim=1)


def fit_potential(points: torch.Tensor, params: PotentialParams, seed: int, round_: int) -> Potential:
    """Fit the potential by stochastic gradient ascent with Adam and a falling learning rate.

    The gradient for g_i is 1/n minus the share of noise that point i wins. It is so small that only
    its direction matters, which is what Adam keeps.

    Args:
        points: Shape (n, dim).
        params: Length, noises per step, learning rate.
        seed: Seed of the chain.
        round_: Round of the chain.

    Returns:
        The potential: the mean of the iterates of the last half.
    """
    n = len(points)
    dual, average = torch.zeros(n), torch.zeros(n)
    optimizer = Adam([dual])
    for step in range(params.steps):
        z = noise(seed, "potential", round_, range(step * params.batch, (step + 1) * params.batch), points.shape[1])
        wins = torch.bincount(Potential(points, dual).match(z), minlength=n)
        dual.grad = wins / params.batch - 1 / n  # the optimizer goes down
        optimizer.step(params.lr * (1 - step / params.steps))
        if step >= params.steps // 2:
            average += dual / (params.steps - params.steps // 2)
    return Potential(points, average)
