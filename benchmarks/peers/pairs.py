"""Making pairs and inverting images, against torchdiffeq's Euler on torchcfm's network or on ours, in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial

import torch
from torchdiffeq import odeint

from benchmarks.peers.networks import Call, default, digits, papers, torchcfms
from benchmarks.peers.turns import Comparison, Settings, in_turn, numbers_of_threads
from reflowbench.core.schemes import Precision
from reflowbench.flow.field import Field
from reflowbench.flow.solvers import solve
from reflowbench.pairs.generate import inverted_pairs, synthetic_pairs
from reflowbench.runtime.params import PairsParams

PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
BATCH = 1024
"""Images that torchcfm's sampling script makes at a time."""
Way = Callable[[bool], torch.Tensor]
"""Makes pairs, or inverts if it is told to go backward."""


def euler(network: Call, x: torch.Tensor, steps: int, backward: bool = False) -> torch.Tensor:
    """The peer's way: a grid of times, the whole path kept. The network is given a time without dimensions."""
    start, end = (1.0, 0.0) if backward else (0.0, 1.0)
    times = torch.linspace(start, end, steps + 1, device=x.device)
    with torch.no_grad():
        return odeint(lambda t, state: network(state, t), x, times, method="euler")[-1]


def at_one_time(network: Call) -> Call:
    """Our network, for `euler`: it takes one time for all rows as a tensor of one."""
    return lambda x, t: network(x, t.reshape(1))


def noise_ratio(made: torch.Tensor, exact: torch.Tensor) -> float:
    """PSNR in decibels of images in [-1, 1]."""
    return 10 * math.log10(4 / (made.clamp(-1, 1) - exact.clamp(-1, 1)).square().mean().item())


def rows(turns: int) -> Iterator[Comparison]:
    """Both networks, both ways."""
    yield from _default(turns)
    yield from papers_rows(turns, torch.device("cpu"), n=16, steps=3)


def _default(turns: int) -> Iterator[Comparison]:
    network, (data, _), n, steps = default(), digits(), 3072, 12
    images = data.images[torch.arange(n) % len(data)]

    def theirs(backward: bool) -> torch.Tensor:
        start = images if backward else torch.randn(n, data.dim)
        return torch.cat([euler(at_one_time(network), part, steps, backward) for part in start.split(BATCH)])

    def ours(precision: Precision, backward: bool) -> torch.Tensor:
        params = PairsParams(n=n, solver="euler", steps=steps, precision=precision)
        if backward:
            return torch.cat(list(inverted_pairs(network, images, params, 0, 1)[1](0)))
        return torch.cat(list(synthetic_pairs(network, params, 0, 1, data.dim)[1](0)))

    ways = {precision: partial(ours, precision) for precision in PRECISIONS}
    for threads in numbers_of_threads():
        what = f"{n} {{}}, default network, {steps} Euler steps, {threads}"
        yield from _rows(theirs, ways, what, "torchdiffeq's Euler on the same network, float32", 2 * turns)


def papers_rows(
    turns: int, where: torch.device, n: int, steps: int, settings: Settings = nullcontext, compiled: bool = False
) -> Iterator[Comparison]:
    """The paper's U-Net on a device, compiled too if asked for; `settings` are the peer's."""
    network, theirs_ = papers().eval().to(where), torchcfms().eval().to(where)
    x = torch.randn(n, 3 * 32 * 32, generator=torch.Generator().manual_seed(0)).to(where)

    def theirs(backward: bool) -> torch.Tensor:
        with settings():
            return euler(lambda x, t: theirs_(t, x), x.reshape(n, 3, 32, 32), steps, backward)

    fields = {precision: Field(network, precision) for precision in PRECISIONS}
    if compiled:
        fields["bf16, compiled"] = Field(papers(compile=True).eval().to(where), "bf16")
    ways = {name: partial(_solved, field, x, steps) for name, field in fields.items()}
    what = f"{n} {{}}, the paper's U-Net, {steps} Euler steps"
    yield from _rows(theirs, ways, what, "torchdiffeq's Euler on torchcfm's U-Net, float32", turns)


def _solved(field: Field, x: torch.Tensor, steps: int, backward: bool) -> torch.Tensor:
    return solve(field, x, "euler", steps, backward=backward)


def _rows(theirs: Way, ours: Mapping[str, Way], what: str, peer: str, turns: int) -> Iterator[Comparison]:
    for backward in (False, True):
        work = {name: partial(way, backward) for name, way in {"peer": theirs, **ours}.items()}
        taken, exact = in_turn(work, turns), work["float32"]()
        for name in ours:
            facts = {}
            if name != "float32" and not backward:
                facts["PSNR, dB"] = noise_ratio(work[name](), exact)
            elif name != "float32":
                facts["relative difference"] = ((work[name]() - exact).norm() / exact.norm()).item()
            kind = what.format("inversions" if backward else "pairs")
            yield Comparison(f"{kind}, {name}", peer, taken[name], taken["peer"], facts)
