"""MNIST and Fashion-MNIST: idx files, as Debian's packages and torchvision have them, compressed or not.

The format is a header of big-endian numbers and then bytes; what it claims is compared with what is there.
"""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reflowbench.errors import ReflowbenchError
from reflowbench.sources.archive import by_last_name, check_pinned, counted, faults_of, read_files
from reflowbench.sources.found import Found

FILES = {part: (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte") for part in ("train", "t10k")}
"""Images and labels of the training and the test set."""
CLASSES = 10
BYTES = 2**26
"""Of one file, decompressed: the largest, 60,000 images of 28 x 28, has 47 MB."""
_NAMES = {name for pair in FILES.values() for name in pair}
_FOLDERS = {"mnist": "MNIST", "fashion": "FashionMNIST"}
_BYTE = 8
"""Code of unsigned bytes in the header."""


def read_idx(path: Path, sha256: str | None, source: str) -> Found:
    """Read the four files of a data set.

    Args:
        path: A folder, .zip or .tar with them, or the folder that torchvision was given.
        sha256: Checksum of their decompressed content; None gets the error that says it.
        source: `mnist` or `fashion`: which of torchvision's folders is meant, if both are there.

    Returns:
        All images, the 10,000 of the test set last.

    Raises:
        ReflowbenchError: If a file is missing, damaged, twice there, not of the checksum, or not what it claims.
    """
    own = path / _FOLDERS[source] / "raw"
    path = own if own.is_dir() else path
    what = f"file of {source} in it; want {', '.join(sorted(_NAMES))}, each as it is or with .gz at its end"
    found = read_files(path, lambda name: name.removesuffix(".gz") in _NAMES, what, BYTES)
    packed = by_last_name(found, path)
    files = {}
    for name in sorted(_NAMES):
        if name in packed:
            files[name] = packed[name]
        elif f"{name}.gz" in packed:
            files[name] = _decompressed(path / f"{name}.gz", packed[f"{name}.gz"])
        else:
            raise ReflowbenchError(f"{path}: {name} is missing, with or without .gz; get the data set anew")
    check_pinned(files, sha256, path)
    parts = []
    for first, second in FILES.values():
        pictures, classes = values(files[first], path / first, 3), values(files[second], path / second, 1)
        if len(pictures) != len(classes) or not len(classes) or classes.max() >= CLASSES:
            many = f"{len(pictures)} images, {len(classes)} labels"
            raise ReflowbenchError(f"{path / second}: {many}: want as many, of classes from 0 to 9")
        parts.append((pictures, classes))
    (images, labels), (test_images, test_labels) = parts
    sizes = images.shape[1:], test_images.shape[1:]
    if sizes[0] != sizes[1] or 0 in sizes[0]:
        raise ReflowbenchError(f"{path}: training images of {sizes[0]} pixels and tests of {sizes[1]}; get it anew")
    levels = torch.from_numpy(np.concatenate([images, test_images]).reshape(len(images) + len(test_images), -1))
    of_both = torch.from_numpy(np.concatenate([labels, test_labels]).astype(np.int64))
    return Found(levels, of_both, (1, *sizes[0]), 256, len(test_images))


def _decompressed(path: Path, data: bytes) -> bytes:
    with faults_of(str(path)), gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return counted(file, BYTES, BYTES, str(path), "it is not a file of this data set")


def values(data: bytes, path: Path, axes: int) -> NDArray[np.uint8]:
    """Values of an idx file of unsigned bytes.

    Args:
        data: The content.
        path: Its name, for errors.
        axes: How many axes it must have.

    Returns:
        An array with as many axes.

    Raises:
        ReflowbenchError: If it is another kind of file, or its length is not what its header says.
    """
    header = 4 + 4 * axes
    if len(data) < header or data[:4] != bytes((0, 0, _BYTE, axes)):
        raise ReflowbenchError(f"{path}: not an idx file of bytes with {axes} axes; get the data set anew")
    sizes = struct.unpack(f">{axes}I", data[4:header])
    length = 1
    for size in sizes:  # Python's integers do not overflow
        length *= size
    if len(data) - header != length:
        raise ReflowbenchError(f"{path}: {len(data) - header} bytes where its header says {sizes}; get it anew")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(sizes)
