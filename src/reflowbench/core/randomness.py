"""Randomness by counter: what sample i draws depends on (seed, purpose, round, i) and on nothing else.

Not on batch size, process count, device or the order of requests, so pairs can be made in any
sharding, and the noise half of a stored pair need not be stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

_SPAN = 16
"""Rows that are scattered over at most so many times their number are drawn with all that lies between."""


def noise(seed: int, purpose: str, round_: int, index: Sequence[int] | range, dim: int) -> torch.Tensor:
    """Standard normal noise of the samples at the given positions.

    Box-Muller on a Philox counter: a fixed number of counter values a sample, so that any sample is
    reached directly (NumPy's ziggurat rejects, hence cannot).

    Args:
        seed: The run's seed.
        purpose: What the noise is for; different purposes are independent.
        round_: Round of the chain.
        index: Sample numbers, n of them.
        dim: Values per sample.

    Returns:
        Float32 tensor of shape (n, dim).
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}/{round_}".encode(), digest_size=16).digest()
    bits = np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64))
    half = (dim + 1) // 2
    blocks = (2 * half + 3) // 4  # Philox yields four 64-bit words per counter value
    rows = np.fromiter(index, dtype=np.int64, count=len(index))
    first, last = (int(rows.min()), int(rows.max())) if len(rows) else (0, -1)
    if last - first < _SPAN * len(rows):  # drawing all that lies between is quicker than going from row to row
        bits.advance(first * blocks)
        words = bits.random_raw((last - first + 1) * 4 * blocks).reshape(-1, 4 * blocks)[rows - first]
    else:
        words = np.empty((len(rows), 4 * blocks), dtype=np.uint64)
        position = 0
        for row, sample in enumerate(rows.tolist()):
            bits.advance(sample * blocks - position)
            words[row] = bits.random_raw(4 * blocks)
            position = (sample + 1) * blocks
    # From here on in place and the angle in single precision, where NumPy has vector instructions: half of the time.
    uniform = (words[:, : 2 * half] >> np.uint64(11)).view(np.int64).astype(np.float64)
    uniform += 0.5
    uniform *= 2.0**-53
    radius = np.sqrt(-2.0 * np.log(uniform[:, :half])).astype(np.float32)
    angle = (2.0 * np.pi * uniform[:, half:]).astype(np.float32)
    normal = np.empty((len(rows), 2 * half), dtype=np.float32)
    np.multiply(radius, np.cos(angle), out=normal[:, :half])
    np.multiply(radius, np.sin(angle), out=normal[:, half:])
    return torch.from_numpy(np.ascontiguousarray(normal[:, :dim]))


def generator(seed: int, purpose: str, round_: int = 0, step: int = 0) -> torch.Generator:
    """Make a torch generator for draws that belong to a step (rows, times) rather than to a sample.

    Args:
        seed: The run's seed.
        purpose: What is drawn; different purposes are independent.
        round_: Round of the chain.
        step: Optimizer step.

    Returns:
        A CPU generator.
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}/{round_}/{step}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))
