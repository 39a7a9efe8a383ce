"""dvc.lock by its stages, as text: DVC wrote it, so what is carried from one to another is what DVC itself would write.

DVC parses and writes the whole file after every stage. So a clone gets the part that its task needs, and the checkout
gets what all tasks made at once, where to restore stage by stage from the run cache takes a second each. A stage whose
entry does not fit the checkout runs again: `dvc repro` compares all of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from reflowbench.runtime.artifacts import write_text

_STAGE = re.compile(r"^  (\S.*):\n", re.MULTILINE)
_HEAD = "schema: '2.0'\nstages:\n"


def entries(path: Path) -> dict[str, str]:
    """Read the stages of a dvc.lock.

    Args:
        path: The file; need not be there.

    Returns:
        The text of each by its name; empty if the file is not laid out as DVC does it.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    body = text.removeprefix(_HEAD)
    if body == text or re.search(r"^(?!  )", body[:-1], re.MULTILINE):
        return {}
    starts = [*_STAGE.finditer(body)]
    ends = [match.start() for match in starts[1:]] + [len(body)]
    return {match[1]: body[match.start() : end] for match, end in zip(starts, ends, strict=True)}


def keep(path: Path, names: Collection[str]) -> int:
    """Leave only some stages in a dvc.lock.

    Args:
        path: The file; need not be there.
        names: Of the stages.

    Returns:
        How many others it had.
    """
    found = entries(path)
    kept = {name: text for name, text in found.items() if name in names}
    if len(kept) < len(found):
        _write(path, kept)
    return len(found) - len(kept)


def merge(path: Path, made: Mapping[str, str]) -> None:
    """Put stages into a dvc.lock: in the place of what it has of them, the others at its end, as DVC does.

    Args:
        path: The file; need not be there.
        made: Text by name, from `entries`. Nothing is done if the file is there and not laid out as DVC does it.
    """
    found = entries(path)
    if made and (found or not path.exists()):
        _write(path, {**found, **made})


def _write(path: Path, found: Mapping[str, str]) -> None:
    if found:
        write_text(path, _HEAD + "".join(found.values()))
    else:
        path.unlink(missing_ok=True)
