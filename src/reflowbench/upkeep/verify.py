"""Whether outputs and DVC's cache still hold what was written (`reflowbench verify`): every byte is read.

DVC itself takes a file for unchanged if its size and time are, and brings back what its cache holds. A disk that fails
changes neither.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import content_hash


@dataclass(frozen=True)
class Damage:
    """A file that is not what its hash says.

    Attributes:
        path: The file or folder.
        where: `output` (of a stage, and DVC keeps it), `committed` (Git keeps it) or `cache` (DVC's own copy).
    """

    path: Path
    where: Literal["output", "committed", "cache"]


def damages(root: Path = Path()) -> Iterator[Damage]:
    """Compare the workspace with dvc.lock, and DVC's cache with its names.

    Args:
        root: A folder of the repository.

    Yields:
        What differs. An output that is missing is no damage, and neither is one that no run has recorded.

    Raises:
        ReflowbenchError: If this is no DVC repository, or its dvc.yaml is wrong.
    """
    repo = _repository(root)
    here = Path(repo.root_dir)
    for out in repo.index.outs:
        path, recorded = Path(out.fs_path), out.hash_info.value
        if recorded and path.exists() and content_hash(path) != recorded and not _is_unrecorded(out.stage):
            yield Damage(path.relative_to(here), "output" if out.use_cache else "committed")
    for path in sorted(Path(repo.cache.local.path).glob("??/*")):
        if not path.name.endswith(".tmp") and content_hash(path) != (path.parent.name + path.name).removesuffix(".dir"):
            yield Damage(path, "cache")


def _is_unrecorded(stage: Any) -> bool:
    """Whether a stage has other parameters or inputs than recorded: its output may be that of a run since then."""
    return bool(stage.changed_stage() or any(dep.status() for dep in stage.deps))


def _repository(root: Path) -> Any:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo(str(root))
        _ = repo.index.outs  # parses dvc.yaml
    except DvcException as error:
        raise ReflowbenchError(f"{root.resolve()}: {error}") from None
    return repo


def repair(found: Damage) -> bool:
    """Remove what is damaged: `dvc repro` brings it back from the cache if it is whole there, or makes it anew.

    Args:
        found: The damage.

    Returns:
        Whether it was removed. What Git keeps is left: it may be somebody's change.
    """
    if found.where == "committed":
        return False
    if found.path.is_dir():
        shutil.rmtree(found.path)
    else:
        found.path.unlink(missing_ok=True)
    return True
