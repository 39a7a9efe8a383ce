"""CIFAR-10: its binary files, its Python files (pickles, which are read and never run), or image files of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.errors import ReflowbenchError
from reflowbench.sources import pictures
from reflowbench.sources.archive import by_last_name, check_pinned, faults_of, is_image, read_files
from reflowbench.sources.found import Found
from reflowbench.sources.pickled import Call, Name, read_pickle

SHAPE = (3, 32, 32)
CLASSES = 10
BYTES = 2**25
"""Of one batch of 10,000 images, which has 31 MB."""
_DIM = 3072
_BATCH = re.compile(r"(data_batch_[1-5]|test_batch)(\.bin)?")
_TEST = "test_batch"
_UNPACKED = ("cifar-10-batches-bin", "cifar-10-batches-py")
_ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
_WANTED = "batch of CIFAR-10 (data_batch_1 ... test_batch, with or without .bin) and no image in it"
_RECONSTRUCT = {"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"}
_BYTES_DTYPE = ("u1", "|u1", b"u1")


def read_cifar10(path: Path, sha256: str | None) -> Found:
    """Read the batches of CIFAR-10.

    Args:
        path: A folder, .zip or .tar that holds `data_batch_1` to `5` and `test_batch` (torchvision's layout), the same
            with `.bin` at their ends, or image files in a folder per class; or a folder with the archive that
            torchvision fetches.
        sha256: Checksum of these files; None gets the error that says it.

    Returns:
        All images, those of `test_batch` last; image files have no test set.

    Raises:
        ReflowbenchError: If they are missing, damaged, not of the checksum, or not images of 32 x 32 in colour.
    """
    if path.is_dir() and not any((path / folder).is_dir() for folder in _UNPACKED):
        path = next((path / name for name in _ARCHIVES if (path / name).is_file()), path)
    both = read_files(path, lambda name: bool(_BATCH.fullmatch(name)) or is_image(name), _WANTED, BYTES)
    batches = {name: data for name, data in both.items() if _BATCH.fullmatch(name.rpartition("/")[2])}
    if not batches:
        return _pictures(path, sha256)
    binary = {name: data for name, data in batches.items() if name.endswith(".bin")}
    files = by_last_name(binary or batches, path)
    check_pinned(files, sha256, path)
    if not any(name.startswith("data_batch") for name in files):
        raise ReflowbenchError(f"{path}: no data_batch_1 to data_batch_5 beside {_TEST}; get the data set anew")
    parts = [(_binary if binary else _python)(path / name, data) for name, data in files.items()]
    for name, (images, labels) in zip(files, parts, strict=True):
        if not len(labels) or images.shape != (len(labels), _DIM) or labels.min() < 0 or labels.max() >= CLASSES:
            raise ReflowbenchError(
                f"{path / name}: {images.shape} values and {len(labels)} labels from 0 to 9 do not fit; get it anew"
            )
    levels, classes = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
    tests = sum(len(part[1]) for name, part in zip(files, parts, strict=True) if name.startswith(_TEST))
    return Found(levels, classes, SHAPE, 256, tests)


def _pictures(path: Path, sha256: str | None) -> Found:
    levels, labels, shape = pictures.read_images(path, sha256)
    if shape != SHAPE:
        raise ReflowbenchError(f"{path}: images of {shape}; those of CIFAR-10 are of {SHAPE}")
    return Found(levels, labels, shape, pictures.LEVELS)


def _binary(path: Path, data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Records of a label and the pixels, channel by channel."""
    if not data or len(data) % (_DIM + 1):
        raise ReflowbenchError(f"{path}: {len(data)} bytes are not whole records of {_DIM + 1}; get it anew")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, _DIM + 1)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _python(path: Path, data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A dict of `data`, an array of bytes, and `labels`, a list of numbers."""
    with faults_of(str(path)):
        content = read_pickle(data)
        if not isinstance(content, dict):
            raise ValueError("not a dict")
        by_name = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in content.items()}
        labels = by_name["labels"]
        if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < CLASSES for label in labels):
            raise ValueError("labels that are not a list of numbers from 0 to 9")
        return _array(by_name["data"]), np.array(labels, dtype=np.int64)


def _array(value: Any) -> NDArray[np.uint8]:
    """An array of bytes from the notes of how NumPy would make it.

    Returns:
        The array, in the shape that it had.

    Raises:
        ValueError: If it would be made in any other way.
    """
    made = isinstance(value, Call) and isinstance(value.function, Name) and value.function.path in _RECONSTRUCT
    state = value.state if made else None
    if not isinstance(state, tuple) or len(state) != 5:
        raise ValueError("data that are not an array")
    _, shape, kind, by_columns, content = state
    is_bytes = isinstance(kind, Call) and isinstance(kind.function, Name) and kind.function.path == "numpy dtype"
    if not is_bytes or not isinstance(kind.arguments, tuple) or kind.arguments[:1] not in [(k,) for k in _BYTES_DTYPE]:
        raise ValueError("an array of other values than bytes")
    if not isinstance(shape, tuple) or len(shape) != 2 or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("an array that is not a table")
    raw = _raw(content)
    if by_columns or len(raw) != shape[0] * shape[1]:
        raise ValueError(f"{len(raw)} bytes for an array of {shape}")
    return np.frombuffer(raw, dtype=np.uint8).reshape(shape)


def _raw(content: Any) -> bytes:
    """Bytes as they are, as a string of Python 2, or as Python 3 writes them in the old protocol."""
    if isinstance(content, Call) and isinstance(content.function, Name) and content.function.path == "_codecs encode":
        text = content.arguments[0] if isinstance(content.arguments, tuple) and content.arguments else None
        content = text if isinstance(text, str) else None
    if isinstance(content, str):
        return content.encode("latin1")
    if not isinstance(content, bytes):
        raise ValueError("an array without content")
    return content
