"""Sheets of samples as small images within the page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reflowbench.core.schemes import ADAPTIVE
from reflowbench.data.images import to_bytes
from reflowbench.data.png import Bytes, tile
from reflowbench.results.access import Results
from reflowbench.runtime.artifacts import read_tensors
from reflowbench.runtime.evaluations import BASE, SAMPLES_FILE, cell_folder


@dataclass(frozen=True)
class Sheets:
    """Samples from the same noise.

    Attributes:
        solvers: Labels by the name of a solver and its NFE, in ascending order.
        images: Data URIs by method, round and solver, joined by `/`; those of the base model once, under its own name.
        grey: Whether the images are grey, on white.
        missing: Models without a file of samples.
    """

    solvers: Mapping[str, str]
    images: Mapping[str, str]
    grey: bool
    missing: list[str]


def sheets(results: Results, evaluations: Path) -> Sheets:
    """Read the samples of every model of the first seed.

    Args:
        results: The table.
        evaluations: Folder of the evaluated models.

    Returns:
        The sheets.
    """
    solvers = {f"{results.solver}_{nfe}": f"{results.solver}, NFE {nfe}" for nfe in results.nfes}
    solvers[ADAPTIVE] = f"{ADAPTIVE} (adaptive)"
    images, missing, found, channels = {}, [], set(), 1
    models = [(BASE, 0), *((method, k) for method in results.methods for k in results.rounds if k)]
    for method, k in models:
        path = cell_folder(evaluations, method, results.seeds[0], k) / SAMPLES_FILE
        if not path.exists():
            missing.append(f"{method} k = {k}")
            continue
        tensors, facts = read_tensors(path)
        channels = facts["shape"][0]
        for name in filter(tensors.__contains__, solvers):
            images[f"{method}/{k}/{name}"] = _data_uri(_sheet(to_bytes(tensors[name], tuple(facts["shape"]))))
            found.add(name)
    shown = {name: label for name, label in solvers.items() if name in found}
    return Sheets(shown, images, channels == 1, missing)


def _sheet(images: Bytes) -> Bytes:
    """A square of samples; grey ones as ink on white, which a dark page turns over."""
    side = math.isqrt(len(images))
    ink = 255 - images if images.shape[3] == 1 else images
    return tile(ink[: side * side], side)


def _data_uri(image: Bytes) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
