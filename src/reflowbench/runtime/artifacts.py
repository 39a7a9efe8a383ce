"""Files that stages hand to each other: safetensors and JSON, deterministic bytes, written whole or not at all.

No output holds a time, host, path or run id: equal content means equal bytes, which is what lets
DVC stop early and what "reproduced" means.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import mmap
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.seal import BLANK, KEY, check_seal, sealed

if TYPE_CHECKING:
    import torch

SCRATCH = Path(".scratch")
before_publishing: Callable[[Path], object] = lambda path: None  # noqa: E731 (a stage puts its own check here)
"""Called with the path of whatever is about to be renamed into its place; raises if it must not be."""


REMEDIES = {
    errno.ENOSPC: "free some space on this disk",
    errno.EDQUOT: "free some of your quota on this disk",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "this file system is mounted read-only: mount it writable, or work in another folder",
    errno.EACCES: "give yourself the permission to write there",
    errno.EPERM: "give yourself the permission to write there",
    errno.EIO: "check this disk: it failed",
} | dict.fromkeys(
    (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EBUSY, errno.EINVAL),
    "name another place",
)
"""What helps where a file cannot be written, by error number. Other errors are bugs and keep their traceback."""
DAMAGED = "run `reflowbench verify --repair`, then `dvc repro`"
"""Deleting a damaged file is not enough: DVC would bring it back from its cache, where it may be damaged too."""


def unwritable(path: Path, error: OSError) -> ReflowbenchError:
    """Say that a file cannot be written, and what to do.

    Args:
        path: The file.
        error: Why; its number is in REMEDIES.

    Returns:
        The error to raise.
    """
    why = f"{path}: cannot be written ({os.strerror(error.errno or 0)}); nothing half-written is left"
    return ReflowbenchError(f"{why}: {REMEDIES[error.errno or 0]}, then run `dvc repro` again")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it to `path` only if nothing was raised.

    Args:
        path: The final file or folder. Its parents are made.

    Yields:
        The temporary path, which does not exist yet. A file or a folder may be made there.

    Raises:
        ReflowbenchError: If the disk is full or the place is not writable.
    """
    if path.name in ("", "..") or "\0" in path.name:
        raise ReflowbenchError(f"{path}: not a name for what is to be written")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        before_publishing(path)
        try:
            if path.is_dir():  # a folder cannot be renamed over another one
                path.replace(old)
            temporary.replace(path)
        except BaseException:  # a signal too
            if old.exists() and not path.exists():
                old.replace(path)
            raise
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        raise unwritable(Path(error.filename or path), error) from error
    finally:
        for draft in (temporary, old):
            _remove(draft)


def to_disk(path: Path) -> None:
    """See that a file is on the disk, and not only in the memory of the operating system."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    """Remove a file, a folder or nothing. What is in the way of that is left: it is a draft, and named so."""
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def remove_drafts(path: Path) -> None:
    """Remove what killed processes left half-written beside an output or directly in it; nothing else may write it.

    Args:
        path: The output, a file or a folder; it need not be there.
    """
    for folder, start in ((path.parent, f".{path.name}."), (path, ".")):
        for draft in folder.iterdir() if folder.is_dir() else ():
            if draft.name.startswith(start) and draft.name.endswith(".tmp"):
                _remove(draft)


def require_space(folder: Path, size: int, what: str) -> None:
    """Refuse to begin what would fill the disk after hours of work.

    Args:
        folder: Where it will be written; it need not be there.
        size: Bytes that will be written.
        what: What they are, for the message.

    Raises:
        ReflowbenchError: If less is free.
    """
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < size:
        raise ReflowbenchError(
            f"{folder}: {what} take {size / 1e6:,.1f} MB and only {free / 1e6:,.1f} MB are free on this disk: free "
            "some space, then run `dvc repro` again"
        )


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for what no output needs, removed afterwards; and so are those of processes that were killed."""
    import psutil

    root, host = SCRATCH / "temporary", platform.node()
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{host} *"):
        if not psutil.pid_exists(int(left.name.split()[1])):
            _remove(left)
    with tempfile.TemporaryDirectory(dir=root, prefix=f"{host} {os.getpid()} ") as folder:
        yield Path(folder)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file with Unix line ends, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any, *, seal: bool = True) -> None:
    """Write JSON with sorted keys; NaN and infinity are refused.

    Args:
        path: The file.
        value: A mapping; anything that JSON has if it is not sealed.
        seal: Whether to add a checksum. Not for what other programs read key by key, such as DVC's metrics.
    """
    content = {**value, KEY: BLANK} if seal else value
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
    if not seal:
        write_text(path, text)
        return
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.writelines(sealed(text.encode()))


def read_json(path: Path, *, seal: bool = True) -> Any:
    """Read a JSON file written by `write_json`.

    Args:
        path: The file.
        seal: Whether it has a checksum, which is compared.

    Returns:
        What the file holds, without its checksum.

    Raises:
        ReflowbenchError: If the file is missing or damaged.
    """
    try:
        data = path.read_bytes()
        if seal:
            check_seal(data, len(data))
        value = json.loads(data.decode("utf-8"))
        return _without_seal(value) if seal else value
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file; `dvc repro` makes it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ReflowbenchError(f"{path}: damaged JSON ({error}); {DAMAGED}") from None


def _without_seal(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or KEY not in value:
        raise ValueError("not a mapping with a checksum")
    return {name: content for name, content in value.items() if name != KEY}


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any] | None = None) -> None:
    """Write tensors as safetensors with a checksum.

    Args:
        path: The file.
        tensors: Named tensors of any shape.
        metadata: JSON-serialisable facts, stored in the file's header.

    Raises:
        ReflowbenchError: If the disk is too small or not writable.
    """
    from safetensors.torch import save

    # One header entry only: safetensors does not keep the order of several.
    header = {"reflowbench": json.dumps({**(metadata or {}), KEY: BLANK}, sort_keys=True)}
    data = save({name: tensors[name].detach().contiguous().cpu() for name in sorted(tensors)}, header)
    require_space(path.parent, len(data), "tensors")
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.writelines(sealed(data))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a safetensors file, memory-mapped, once its checksum is found right (about a second per GB).

    Args:
        path: The file.

    Returns:
        The tensors, and the metadata given to `write_tensors`.

    Raises:
        ReflowbenchError: If the file is missing, damaged in any bit, or not written by `write_tensors`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with (
            path.open("rb") as raw,
            mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data,
            memoryview(data) as view,
        ):
            check_seal(view, min(len(data), 8 + int.from_bytes(data[:8], "little")))
        with safe_open(path, framework="pt") as file:
            facts = _without_seal(json.loads((file.metadata() or {})["reflowbench"]))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except FileNotFoundError:
        raise ReflowbenchError(f"{path}: no such file; `dvc repro` makes it") from None
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise ReflowbenchError(f"{path}: damaged, or not written by reflowbench ({error}); {DAMAGED}") from None


def is_whole(folder: Path) -> bool:
    """Whether all safetensors and JSON artifacts in a folder, or below, fit their checksums."""
    try:
        for path in sorted(folder.rglob("*")):
            if path.suffix in _READERS:
                _READERS[path.suffix](path)
    except ReflowbenchError:
        return False
    return True


_READERS: dict[str, Callable[[Path], Any]] = {".safetensors": read_tensors, ".json": read_json}


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
