"""What a stage's run holds as files: what it made for people to look at, and where it came from."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reflowbench.runtime.artifacts import write_json
from reflowbench.runtime.evaluations import SAMPLES_FILE
from reflowbench.tracking.contents import Contents, Files, Item
from reflowbench.tracking.lock import Entry

SHOWN = ("runs/training/", "runs/evaluations/", "reports/")
"""Outputs to look at. Weights, pairs and images stay with DVC, which has a cache and remotes for them."""

_KINDS = {".csv", ".gif", ".html", ".json", ".md", ".png", ".svg"}
_LARGEST = 64 * 2**20
REPORTS = "reports/"


def shown_outputs(entry: Entry) -> list[Item]:
    """Name a stage's outputs that are there to be looked at."""
    outs = entry.get("outs", [])
    return [out for out in outs if out["path"].startswith(SHOWN) and out.get("size", 0) <= _LARGEST]


def shown_files(entry: Entry, contents: Contents) -> dict[str, Files] | None:
    """Find the files of a stage that are there to be looked at.

    Args:
        entry: Its lock entry.
        contents: Data by hash.

    Returns:
        The files of each output, by its path; None if one of them is not on this machine.
    """
    found = {}
    for out in shown_outputs(entry):
        files = contents.files(out, lambda name: Path(name).suffix in _KINDS or name == SAMPLES_FILE)
        if files is None:
            return None
        found[out["path"]] = files
    return found


def gather(folder: Path, outputs: Mapping[str, Files]) -> None:
    """Copy outputs to where they can be logged from; of samples make a picture.

    Args:
        folder: Where to.
        outputs: Files of each output, by its path. Those of reports/ keep their path, for the pages refer to them.
    """
    for path, files in outputs.items():
        single = list(files) == [Path(path).name]
        base = folder / path if path.startswith(REPORTS) else folder
        for name, source in files.items():
            if name == SAMPLES_FILE:
                _draw(source, folder / "samples")
                continue
            target = (base.parent if single and path.startswith(REPORTS) else base) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _draw(samples: Path, folder: Path) -> None:
    """A grid for each solver and NFE."""
    from reflowbench.data.images import to_bytes
    from reflowbench.data.png import tile, write_png
    from reflowbench.runtime.artifacts import read_tensors

    tensors, facts = read_tensors(samples)
    for name, images in tensors.items():
        pixels = to_bytes(images, tuple(facts["shape"]))
        scale = max(1, 32 // pixels.shape[1])
        write_png(folder / f"{name}.png", tile(pixels, math.ceil(len(pixels) ** 0.5), scale, gap=scale))


def write_origin(folder: Path, name: str, entry: Entry, parents: Sequence[Mapping[str, Any]]) -> None:
    """Write where a stage's numbers come from: its lock entry, and the runs of the stages before it."""
    # The order of keys is DVC's own: as in dvc.lock.
    (folder / "lock_entry.json").write_text(json.dumps({"stage": name, **entry}, indent=2, default=str) + "\n")
    write_json(folder / "lineage.json", list(parents), seal=False)
