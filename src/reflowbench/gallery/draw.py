"""Samples of a model as one image, or as an animation from noise to image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from reflowbench.core.randomness import noise
from reflowbench.core.schemes import NFE_PER_STEP, FixedSolver
from reflowbench.data.blocks import BLOCK, in_blocks
from reflowbench.data.png import Bytes, tile, write_png
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.solvers import solve, trajectory
from reflowbench.gallery.models import Model
from reflowbench.runtime.artifacts import atomic

_SIDE = 32
"""Images are enlarged to about so many pixels."""
_HOLD = 1500
"""Milliseconds for which an animation shows its last image."""


def _start(
    model: Model, index: Sequence[int], nfe: int, solver: FixedSolver, seed: int
) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor, int]:
    """Lay noise out in blocks, each row where it stands when all samples from 0 on are drawn.

    A matrix product may round differently in another row of its block, so this keeps a sample the same
    to the bit, whichever others are drawn with it.

    Returns:
        The noise, shape (n, dim); the blocks; the row in them of each sample, shape (n,); steps of the solver.
    """
    per_step = NFE_PER_STEP.get(solver)
    if per_step is None:
        raise ReflowbenchError(f"solver {solver}: want one of {', '.join(NFE_PER_STEP)}")
    if nfe < 1 or nfe % per_step:
        raise ReflowbenchError(
            f"NFE {nfe}: {solver} makes {per_step} evaluations a step; want a positive multiple of that"
        )
    if min(index, default=0) < 0:
        raise ReflowbenchError(f"noise {min(index)}: samples are numbered from 0")
    z = noise(seed, "evaluation", 0, index, model.data.dim)
    used: Counter[int] = Counter()
    places = []
    for i in index:
        column = i % BLOCK
        places.append(used[column] * BLOCK + column)
        used[column] += 1
    place = torch.tensor(places, dtype=torch.int64)
    laid = torch.zeros(max(places, default=0) + 1, model.data.dim)  # a block even for no samples
    laid[place] = z
    return z, [block for block, _ in in_blocks(laid)], place, nfe // per_step


def _finite(images: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(images).all():
        raise ReflowbenchError("the samples are not finite: the model has diverged (lower round.lr or base.lr)")
    return images


def states(model: Model, index: Sequence[int], nfe: int, solver: FixedSolver, seed: int) -> list[torch.Tensor]:
    """Solve the flow from the noise that evaluations use: the first samples are those in the report.

    Args:
        model: The model.
        index: Numbers of the samples, n of them, in any order.
        nfe: Network evaluations of each.
        solver: Fixed-step solver.
        seed: Seed of the noise.

    Returns:
        The noise and the state after each step, each of shape (n, dim). What a sample is does not depend
        on which others are drawn.

    Raises:
        ReflowbenchError: If there is no such solver or noise, the solver cannot spend so many evaluations, or the
            samples are not finite.
    """
    z, blocks, place, steps = _start(model, index, nfe, solver, seed)
    solved = [[state.clone().cpu() for state in trajectory(model.velocity, block, solver, steps)] for block in blocks]
    found = [z, *(torch.cat(parts)[place] for parts in zip(*solved, strict=True))]
    _finite(found[-1])
    return found


def samples(model: Model, index: Sequence[int], nfe: int, solver: FixedSolver, seed: int) -> Bytes:
    """Draw images, rounded to the grey levels of the data; arguments and errors as for `states`.

    Returns:
        Shape (n, height, width, channels).
    """
    _, blocks, place, steps = _start(model, index, nfe, solver, seed)
    ends = torch.cat([solve(model.velocity, block, solver, steps) for block in blocks])[place]
    return _images(model, _finite(ends))


def _images(model: Model, images: torch.Tensor) -> Bytes:
    return model.data.to_bytes(model.data.quantize(images))


def _grid(images: Bytes) -> Bytes:
    """Lay images out in about as many rows as columns.

    Args:
        images: Shape (n, height, width, channels).

    Returns:
        One image, shape (height, width, channels).
    """
    scale = max(1, _SIDE // images.shape[1])
    return tile(images, math.ceil(len(images) ** 0.5), scale, gap=scale)


def write_grid(path: Path, model: Model, n: int, nfe: int, solver: FixedSolver, seed: int) -> None:
    """Write the first n samples as one PNG file; other arguments as for `states`."""
    write_png(path, _grid(samples(model, range(n), nfe, solver, seed)))


def write_animation(
    path: Path, model: Model, n: int, nfe: int, solver: FixedSolver, seed: int, milliseconds: int
) -> None:
    """Write samples on their way from noise as one GIF file, a frame a step, over and over.

    Args:
        path: The file.
        model: The model.
        n: How many samples.
        nfe: Network evaluations of each.
        solver: Fixed-step solver.
        seed: Seed of the noise.
        milliseconds: Time of a frame; the last one stays longer.

    Raises:
        ReflowbenchError: As for `states`.
    """
    from PIL import Image

    pixels = [_grid(_images(model, state)) for state in states(model, range(n), nfe, solver, seed)]
    first, *rest = [Image.fromarray(p[:, :, 0] if p.shape[2] == 1 else p) for p in pixels]
    times = [milliseconds] * len(rest) + [_HOLD]
    with atomic(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=times, loop=0)
