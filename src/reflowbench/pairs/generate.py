"""Making pairs with a flow: forward (noise to image) and inverted (image to noise), one function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from reflowbench.core.schemes import NFE_PER_STEP
from reflowbench.data.blocks import BLOCK, in_blocks
from reflowbench.data.packed import Rows
from reflowbench.flow.field import Field
from reflowbench.flow.path import Velocity
from reflowbench.flow.solvers import solve
from reflowbench.pairs.store import Blocks, Manifest, synthetic_noise
from reflowbench.runtime.distributed import spread
from reflowbench.runtime.params import PairsParams


def synthetic_pairs(
    velocity: Velocity, params: PairsParams, seed: int, round_: int, dim: int
) -> tuple[Manifest, Blocks]:
    """Pairs of noise and the image that the flow makes of it.

    Args:
        velocity: Field of the weights that the round starts from.
        params: How many pairs, the solver, the precisions, and whether images are clipped to [-1, 1].
        seed: Seed of the chain.
        round_: Round that will train on the pairs.
        dim: Values per image.

    Returns:
        The manifest, and what gives the blocks of images x1 from a row on in order, all together (params.n, dim). x0
        is `synthetic_noise(seed, round_, ...)`.
    """
    field = Field(velocity, params.precision)

    def make(index: range) -> Iterator[torch.Tensor]:
        for block, rows in in_blocks(synthetic_noise(seed, round_, index, dim)):
            made = solve(field, block, params.solver, params.steps)[:rows]
            yield made.clamp(-1, 1) if params.clip else made

    nfe = params.steps * NFE_PER_STEP[params.solver]
    cost = params.n * nfe
    return Manifest("synthetic", seed, round_, params.n, dim, cost, params.storage, params.clip), _blocks(
        params.n, make
    )


def inverted_pairs(
    velocity: Velocity, images: Rows, params: PairsParams, seed: int, round_: int
) -> tuple[Manifest, Blocks]:
    """Pairs of a real image and the noise that the reverse flow makes of it, not clipped.

    Args:
        velocity: The field v(x, t) to run backwards.
        images: Real images x1, shape (n, dim).
        params: The solver, and the precisions.
        seed: Seed of the chain.
        round_: Round that will train on the pairs.

    Returns:
        The manifest, and what gives the blocks of noise x0 from a row on in order, all together (n, dim).
    """
    field = Field(velocity, params.precision)

    def make(index: range) -> Iterator[torch.Tensor]:
        for block, rows in in_blocks(images[index.start : index.stop]):
            yield solve(field, block, params.solver, params.steps, backward=True)[:rows]

    n, cost = len(images), len(images) * params.steps * NFE_PER_STEP[params.solver]
    return Manifest("inverted", seed, round_, n, images.shape[1], cost, params.storage), _blocks(n, make)


def _blocks(count: int, make: Callable[[range], Iterable[torch.Tensor]]) -> Blocks:
    return lambda start: (rows for (rows,) in spread(start, count, BLOCK, lambda index: list(make(index))))
