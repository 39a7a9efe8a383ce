"""Making pairs with a flow: forward (noise to image) and inverted (image to noise), one function."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from reflowbench.core.flow.blocks import BLOCK, in_blocks
from reflowbench.core.flow.path import Velocity
from reflowbench.core.flow.schemes import NFE_PER_STEP
from reflowbench.core.flow.solvers import solve
from reflowbench.core.params import PairsParams
from reflowbench.pairs.store import Blocks, Manifest, synthetic_noise


def synthetic_pairs(
    velocity: Velocity, params: PairsParams, seed: int, round_: int, dim: int
) -> tuple[Manifest, Blocks]:
    """Pairs of noise and the image that the flow makes of it, clipped to [-1, 1].

    Args:
        velocity: Field of the weights that the round starts from.
        params: How many pairs, and the solver.
        seed: Seed of the chain.
        round_: Round that will train on the pairs.
        dim: Values per image.

    Returns:
        The manifest, and what gives the blocks of images x1 from a row on in order, all together (params.n, dim). x0
        is `synthetic_noise(seed, round_, ...)`.
    """

    def blocks(start: int) -> Iterator[torch.Tensor]:
        for first in range(start, params.n, BLOCK):
            index = range(first, min(first + BLOCK, params.n))
            for block, rows in in_blocks(synthetic_noise(seed, round_, index, dim)):
                yield solve(velocity, block, params.solver, params.steps)[:rows].clamp(-1, 1)

    nfe = params.steps * NFE_PER_STEP[params.solver]
    return Manifest("synthetic", seed, round_, params.n, dim, params.n * nfe), blocks


def inverted_pairs(
    velocity: Velocity, images: torch.Tensor, params: PairsParams, seed: int, round_: int
) -> tuple[Manifest, Blocks]:
    """Pairs of a real image and the noise that the reverse flow makes of it, not clipped.

    Args:
        velocity: The field v(x, t) to run backwards.
        images: Real images x1, shape (n, dim).
        params: The solver.
        seed: Seed of the chain.
        round_: Round that will train on the pairs.

    Returns:
        The manifest, and what gives the blocks of noise x0 from a row on in order, all together (n, dim).
    """

    def blocks(start: int) -> Iterator[torch.Tensor]:
        for block, rows in in_blocks(images[start:]):
            yield solve(velocity, block, params.solver, params.steps, backward=True)[:rows]

    nfe = params.steps * NFE_PER_STEP[params.solver]
    return Manifest("inverted", seed, round_, len(images), images.shape[1], len(images) * nfe), blocks
