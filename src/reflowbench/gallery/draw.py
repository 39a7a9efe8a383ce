"""Samples of a model as one image, or as an animation from noise to image."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from reflowbench.core.artifacts import atomic
from reflowbench.core.data.png import Bytes, tile, write_png
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.flow.blocks import in_blocks
from reflowbench.core.flow.schemes import NFE_PER_STEP, FixedSolver
from reflowbench.core.flow.solvers import trajectory
from reflowbench.core.randomness import noise
from reflowbench.gallery.models import Model

_SIDE = 32
"""Images are enlarged to about so many pixels."""
_HOLD = 1500
"""Milliseconds for which an animation shows its last image."""


def states(model: Model, n: int, nfe: int, solver: FixedSolver, seed: int) -> list[torch.Tensor]:
    """Solve the flow from the noise that evaluations use: the first samples are those in the report.

    Args:
        model: The model.
        n: How many samples.
        nfe: Network evaluations of each.
        solver: Fixed-step solver.
        seed: Seed of the noise.

    Returns:
        The noise and the state after each step, each of shape (n, dim).

    Raises:
        ReflowbenchError: If the solver cannot spend so many evaluations, or the samples are not finite.
    """
    per_step = NFE_PER_STEP[solver]
    if nfe % per_step:
        raise ReflowbenchError(f"--nfe {nfe}: {solver} makes {per_step} evaluations a step; want a multiple of that")
    z = noise(seed, "evaluation", 0, range(n), model.data.dim)
    blocks = [
        [state[:rows].clone() for state in trajectory(model.velocity, block, solver, nfe // per_step)]
        for block, rows in in_blocks(z)
    ]
    found = [z, *(torch.cat(parts) for parts in zip(*blocks, strict=True))]
    if not torch.isfinite(found[-1]).all():
        raise ReflowbenchError("the samples are not finite: the model has diverged (lower round.lr or base.lr)")
    return found


def grid(model: Model, images: torch.Tensor) -> Bytes:
    """Lay images out in about as many rows as columns, rounded to the grey levels of the data.

    Args:
        model: The model.
        images: Shape (n, dim), nominally in [-1, 1]; what lies outside is black or white.

    Returns:
        One image, shape (height, width, channels).
    """
    scale = max(1, _SIDE // model.data.shape[1])
    return tile(model.data.to_bytes(model.data.quantize(images)), math.ceil(len(images) ** 0.5), scale, gap=scale)


def write_grid(path: Path, model: Model, n: int, nfe: int, solver: FixedSolver, seed: int) -> None:
    """Write samples as one PNG file; arguments as for `states`."""
    write_png(path, grid(model, states(model, n, nfe, solver, seed)[-1]))


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

    pixels = [grid(model, state) for state in states(model, n, nfe, solver, seed)]
    first, *rest = [Image.fromarray(p[:, :, 0] if p.shape[2] == 1 else p) for p in pixels]
    times = [milliseconds] * len(rest) + [_HOLD]
    with atomic(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=times, loop=0)
