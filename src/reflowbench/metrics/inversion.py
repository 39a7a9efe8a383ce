"""How well a flow can be inverted, and whether the noise it gives real images is the noise that sampling draws."""

from __future__ import annotations

import torch

from reflowbench.core.schemes import FixedSolver
from reflowbench.data.blocks import in_blocks
from reflowbench.flow.path import Velocity
from reflowbench.flow.solvers import solve

SOLVER: FixedSolver = "heun"
NOISE_LAW = ("inverted_norm", "inverted_ks_norm", "inverted_ks_coordinates", "inverted_correlation")


def invert_and_return(velocity: Velocity, images: torch.Tensor, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of images by the reverse flow, and what the forward flow makes of that noise again.

    Args:
        velocity: The field v(x, t).
        images: Shape (n, dim).
        steps: Heun steps each way.

    Returns:
        Noise and reconstructions, each of shape (n, dim).
    """
    noise, back = [], []
    for block, rows in in_blocks(images):
        z = solve(velocity, block, SOLVER, steps, backward=True)
        noise.append(z[:rows])
        back.append(solve(velocity, z, SOLVER, steps)[:rows])
    return torch.cat(noise), torch.cat(back)


def reconstruction_error(images: torch.Tensor, reconstructions: torch.Tensor) -> float:
    """Root mean square difference per value, in the units of the images ([-1, 1])."""
    return (images.double() - reconstructions.double()).square().mean().sqrt().item()


def noise_law(noise: torch.Tensor) -> tuple[float, float, float, float]:
    """Compare noise with N(0, I).

    Args:
        noise: Shape (n, dim).

    Returns:
        In the order of NOISE_LAW: the mean of |z|^2 / dim, 1 for N(0, I); the Kolmogorov-Smirnov distance of
        |z|^2 to the chi-square law with dim degrees; the same of all coordinates to N(0, 1); the root mean
        square correlation between coordinates, 1 / sqrt(n) for N(0, I).
    """
    z = noise.double()
    dim = z.shape[1]
    squared = z.square().sum(dim=1)
    centred = z - z.mean(dim=0)
    scaled = centred / centred.square().sum(dim=0).sqrt().clamp(min=1e-12)
    correlation = scaled.T @ scaled
    off_diagonal = correlation.square().sum() - correlation.diagonal().square().sum()
    half = torch.tensor(dim / 2, dtype=torch.float64)
    return (
        (squared.mean() / dim).item(),
        ks_distance(torch.special.gammainc(half, squared / 2)),
        ks_distance(torch.special.ndtr(z.flatten())),
        (off_diagonal / (dim * (dim - 1))).sqrt().item(),
    )


def ks_distance(probabilities: torch.Tensor) -> float:
    """Kolmogorov-Smirnov distance of a sample to a law, from the law's distribution function at the sample.

    Args:
        probabilities: F(x_i), shape (n,).

    Returns:
        The largest gap between F and the sample's distribution function.
    """
    p, n = probabilities.sort().values, len(probabilities)
    steps = torch.arange(n + 1, dtype=p.dtype) / n
    return torch.maximum(steps[1:] - p, p - steps[:-1]).max().item()
