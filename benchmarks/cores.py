"""A cold run by `dvc repro` as it is: each stage takes all cores, where `whole` and `make repro` give it one thread."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clones import cold
from benchmarks.whole import parts


def rows(turns: int) -> Iterator[dict[str, object]]:
    """A row for each part of the pipeline."""
    del turns  # once is long enough
    base = Path(tempfile.mkdtemp(prefix="cores-"))
    yield from (row for row in parts(cold(base / "clone"), None) if "wall" in row)
    shutil.rmtree(base)
