"""A checksum inside each artifact, over all of its bytes: whatever bit of it turns, reading the file fails.

The checksum's own place counts as zeros, so it needs no second file that could be lost or left behind.
"""

from __future__ import annotations

import hashlib
import re

KEY = "checksum"
BLANK = "0" * 64
"""What stands in the checksum's place while the checksum is computed: as many digits as SHA-256 has."""

_PLACE = re.compile(rb'checksum\\?": \\?"([0-9a-f]{64})\\?"')  # in JSON, or in JSON that is a string of JSON
Buffer = bytes | memoryview


def sealed(data: bytes) -> list[Buffer]:
    """Fill in the checksum.

    Args:
        data: Bytes with `"checksum": BLANK` in their JSON.

    Returns:
        The sealed bytes in three pieces, to be written one after the other: large data is not copied.
    """
    start, end = _place(data, len(data))
    return [data[:start], _digest(data, start, end).encode(), memoryview(data)[end:]]


def check_seal(data: bytes | memoryview, limit: int) -> None:
    """Compare the checksum with the bytes.

    Args:
        data: The whole content of a file.
        limit: Length of the part that the checksum stands in.

    Raises:
        ValueError: If there is no checksum, or it is not that of the bytes.
    """
    start, end = _place(data, limit)
    if bytes(data[start:end]).decode("ascii") != _digest(data, start, end):
        raise ValueError("its content does not fit its checksum")


def _place(data: Buffer, limit: int) -> tuple[int, int]:
    found = _PLACE.search(data, 0, limit)
    if found is None:
        raise ValueError("it has no checksum")
    return found.span(1)


def _digest(data: Buffer, start: int, end: int) -> str:
    view = memoryview(data)
    digest = hashlib.sha256(view[:start])
    digest.update(BLANK.encode())
    digest.update(view[end:])
    return digest.hexdigest()
