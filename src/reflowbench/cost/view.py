"""The plan of a profile on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from reflowbench.cost.measure import Throughput
from reflowbench.cost.plan import ADAPTIVE_NFE
from reflowbench.cost.work import Line, Work

_WIDTH = 160
_NOTES = (
    "Training passes and network evaluations are counted in samples; noise to image and image to noise: for pairs; "
    "looking: to measure and to show models. FLOPs: of the networks, a multiplication and an addition being two.",
    "Not counted: the optimizer, optimal assignment, the autoencoder of latents, feature networks, neighbours, and the "
    "start of each process, which on the digits takes longer than the rest.",
    "Disk: outputs as files; the weights, pairs and grids in them. DVC's cache has a copy of what differs. Memory: "
    "tensors at a time, at most, without the process and its libraries.",
    f"Assumed: {ADAPTIVE_NFE} evaluations by the adaptive solver, which chooses them by the model.",
)


def show(
    lines: Sequence[Line], parameters: int, throughput: Throughput | None, file: TextIO, assumed: Sequence[str] = ()
) -> None:
    """Print the plan.

    Args:
        lines: The stages.
        parameters: Of the velocity network.
        throughput: For the hours; None for none.
        file: Where to.
        assumed: What was assumed of the data.
    """
    console = Console(file=file, highlight=False, markup=False, width=None if file.isatty() else _WIDTH)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    header = ("stage group", "method", "stages", "updates", "training", "noise to image", "image to noise", "looking")
    for name in (*header, "FLOPs", "disk", "memory", *(["hours"] if throughput else [])):
        table.add_column(name, justify="left" if name in header[:2] else "right")
    for line in lines:
        table.add_row(line.group, line.method, str(line.stages), *_cells(line.work, line.disk, line.memory, throughput))
    total = sum((line.work for line in lines), Work())
    disk, memory = sum(line.disk for line in lines), max(line.memory for line in lines)
    table.add_section()
    table.add_row("all", "", str(sum(line.stages for line in lines)), *_cells(total, disk, memory, throughput))
    console.print(f"Velocity network: {parameters:,} parameters.")
    console.print(table)
    if throughput:
        training, sampling = short(throughput.training), short(throughput.sampling)
        console.print(f"Hours at {training}FLOP/s of training and {sampling}FLOP/s of sampling.")
    for note in (*_NOTES, *assumed):
        console.print(note)


def _cells(work: Work, disk: int, memory: int, throughput: Throughput | None) -> list[str]:
    counts = (
        work.updates,
        work.train,
        work.forward,
        work.inversion,
        work.looking,
        work.train_flops + work.sample_flops,
    )
    cells = [short(count) for count in counts] + [f"{short(size)}B" if size else "" for size in (disk, memory)]
    if throughput:
        hours = throughput.seconds(work.train_flops, work.sample_flops) / 3600
        cells.append(f"{hours:.2g}" if hours else "")
    return cells


def short(number: float) -> str:
    """A number with three digits and a prefix, such as `1.23 M`; empty for 0."""
    if not number:
        return ""
    prefixes = ["", " k", " M", " G", " T", " P", " E", " Z"]
    while round(number, 2) >= 999.5 and len(prefixes) > 1:
        number /= 1000
        prefixes.pop(0)
    text = f"{number:.3g}"
    return text + prefixes[0] + " " * (prefixes[0] == "")
