"""Files that stages hand to each other: safetensors and JSON, deterministic bytes, written whole or not at all.

No output holds a time, host, path or run id: equal content means equal bytes, which is what lets
DVC stop early and what "reproduced" means.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reflowbench.core.errors import ReflowbenchError

if TYPE_CHECKING:
    import torch

SCRATCH = Path(".scratch")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it to `path` only if nothing was raised.

    Args:
        path: The final file or folder. Its parents are made.

    Yields:
        The temporary path, which does not exist yet. A file or a folder may be made there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for what no output needs, removed afterwards."""
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        yield Path(folder)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file with Unix line ends, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ReflowbenchError: If the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file; `dvc repro` makes it") from None
    except ValueError as error:
        raise ReflowbenchError(f"{path}: damaged JSON ({error}); delete it and run `dvc repro`") from None


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any] | None = None) -> None:
    """Write tensors as safetensors.

    Args:
        path: The file.
        tensors: Named tensors of any shape.
        metadata: JSON-serialisable facts, stored in the file's header.
    """
    from safetensors.torch import save_file

    # One header entry only: safetensors does not keep the order of several.
    header = {"reflowbench": json.dumps(dict(metadata or {}), sort_keys=True)}
    with atomic(path) as temporary:
        save_file({name: tensors[name].detach().contiguous().cpu() for name in sorted(tensors)}, temporary, header)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a safetensors file, memory-mapped.

    Args:
        path: The file.

    Returns:
        The tensors, and the metadata given to `write_tensors`.

    Raises:
        ReflowbenchError: If the file is missing, truncated or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(header["reflowbench"])  # noqa: SIM118
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file; `dvc repro` makes it") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ReflowbenchError(
            f"{path}: damaged or not written by reflowbench ({error}); delete it and run `dvc repro`"
        ) from None


def content_hash(path: Path) -> str | None:
    """Hash a file or folder as DVC 3 does, to compare it with the `md5` of an entry of dvc.lock.

    Args:
        path: The file or folder.

    Returns:
        The md5 (with `.dir` at the end for a folder), or None if there is nothing at the path.
    """
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if not path.is_dir():
        return None
    # Drafts of killed stages are in .dvcignore, which DVC's hash heeds.
    found = (file for file in path.rglob("*") if file.is_file() and not any(p.endswith(".tmp") for p in file.parts))
    files = {file.relative_to(path).as_posix(): file for file in found}
    listing = [{"md5": content_hash(files[name]), "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + ".dir"
