"""What is in a folder, a .zip or a .tar, member by member, in memory: nothing is ever extracted to disk.

Whoever made the archive is not trusted. A size that a header claims reserves no memory, and what is not a plain file or
folder is named by its kind, never followed.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.config import shortened

CHUNK = 2**16
DIRECTORY_BYTES = 2**25
"""Of a zip file's table of members, which zipfile reads at once."""
HEADER_BYTES = 2**16
"""Of a tar member's long name or extended header."""
_END = 2**17
_BLOCK = 512
_ENCRYPTED, _UTF_8 = 0x1, 0x800
"""Flags of a zip member."""
_UNPACKED: dict[str, Callable[[Path], io.BufferedIOBase]] = {
    ".tar": lambda path: io.BufferedReader(io.FileIO(path)),
    ".tar.gz": gzip.GzipFile,
    ".tgz": gzip.GzipFile,
    ".tar.bz2": bz2.BZ2File,
    ".tbz2": bz2.BZ2File,
    # The dictionary of 4 GiB that a header may ask for takes memory only as far as data fill it, and those are counted.
    ".tar.xz": lzma.LZMAFile,
    ".txz": lzma.LZMAFile,
}


class Readable(Protocol):
    """What gives its bytes piece by piece."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; none at the end."""


@dataclass(frozen=True)
class Member:
    """One entry.

    Attributes:
        name: As it is written there; nothing about it is checked.
        kind: `file`, `folder`, or what else it is, with its article.
        open: Begins to read a file. It works only until the next member is asked for.
    """

    name: str
    kind: str
    open: Callable[[], contextlib.AbstractContextManager[Readable]]


def members(path: Path, limit: int) -> Iterator[Member]:
    """Go through a folder or an archive, in whatever order it has.

    Args:
        path: A folder, .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz.
        limit: Bytes that a tar may decompress to, with all headers and whatever is skipped.

    Returns:
        Each entry, one after the other.

    Raises:
        ReflowbenchError: If nothing is there, its name ends in something else, or it has what is not supported. What
            is damaged raises the exceptions of the modules that read it.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise ReflowbenchError(f"data.path = {str(path)!r}: no such file or folder; want what exists, from here")
    name = path.name.lower()
    if name.endswith(".zip"):
        return _zip(path)
    for suffix, unpacked in _UNPACKED.items():
        if name.endswith(suffix):
            return _tar(path, unpacked, limit)
    raise ReflowbenchError(f"data.path = {str(path)!r}: want a folder, .zip, {', '.join(_UNPACKED)}")


def _folder(root: Path) -> Iterator[Member]:
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                name, kind = prefix + entry.name, "a device, pipe or socket"
                if entry.is_symlink():
                    kind = "a link"
                elif entry.is_dir(follow_symlinks=False):
                    kind = "folder"
                    waiting.append(f"{name}/")
                elif entry.is_file(follow_symlinks=False):
                    kind = "file"
                yield Member(name, kind, partial(io.FileIO, entry.path))


class _ShortReads(io.BufferedReader):
    """A file that does not read as much at once as a forged header says."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as much as asked for; all the rest is never more than the end that a comment fits in."""
        size = _END if size is None or size < 0 else size
        if size > DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"more than {DIRECTORY_BYTES} bytes in its table of members")
        return super().read(size)


def _zip(path: Path) -> Iterator[Member]:
    with _ShortReads(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name, kind = info.orig_filename, "file"
            if not info.flag_bits & _UTF_8:  # zip on Linux writes UTF-8 without saying so; zipfile takes it for CP437
                name = name.encode("cp437").decode("utf-8", "surrogateescape")
            where = f"{path}: {shortened(name)}"
            if info.is_dir():
                kind = "folder"
            elif stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
                kind = "a link or device"
            if info.flag_bits & _ENCRYPTED:
                raise ReflowbenchError(f"{where}: encrypted; pack the images without a password")
            # Of these two alone does zipfile decompress no more than is asked for.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                method = info.compress_type
                raise ReflowbenchError(f"{where}: compression method {method}; want 0 (stored) or 8 (deflated)")
            yield Member(name, kind, partial(archive.open, info))


class _Stream:
    """The bytes of a tar once they are decompressed, which are counted."""

    def __init__(self, path: Path, file: io.BufferedIOBase, limit: int):
        self.path, self.file, self.limit, self.left = path, file, limit, limit

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; none at the end."""
        data = self.file.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ReflowbenchError(f"{self.path}: more than {self.limit} bytes once decompressed; want less images")
        return data

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        data = self.read(size)
        if len(data) < size:
            raise EOFError("it ends too early")
        return data


class _Content:
    """The bytes of one member of a tar."""

    def __init__(self, stream: _Stream, size: int):
        self.stream, self.left, self.padding = stream, size, -size % _BLOCK

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; none at the end."""
        data = self.stream.exactly(min(size, self.left))
        self.left -= len(data)
        return data

    def skip(self) -> None:
        """Go on to the next header."""
        while self.read(CHUNK):
            pass
        self.stream.exactly(self.padding)


def _begun(content: Readable) -> contextlib.AbstractContextManager[Readable]:
    return contextlib.nullcontext(content)


def _tar(path: Path, unpacked: Callable[[Path], io.BufferedIOBase], limit: int) -> Iterator[Member]:
    """Of tarfile only the reading of headers: what it does beyond trusts the sizes, maps and lists in them."""
    long_name: str | None = None
    with unpacked(path) as file:
        stream = _Stream(path, file, limit)
        while any(block := stream.exactly(_BLOCK)):
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if info.size < 0:
                raise tarfile.ReadError("a member of negative size")
            content = _Content(stream, info.size)
            if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE):
                long_name = _long_name(info, content) or long_name
            else:
                yield Member(long_name or info.name, _kind(info), partial(_begun, content))
                long_name = None
            content.skip()
        while rest := stream.read(CHUNK):  # to the end, where the checksum of what was compressed is
            if any(rest):
                raise tarfile.ReadError("there is more after its end")


def _kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "folder"
    if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
        return "file"
    return "a link" if info.issym() or info.islnk() else "a device, pipe or sparse file"


def _long_name(info: tarfile.TarInfo, content: _Content) -> str | None:
    """The name of the next member, if this header has it.

    Returns:
        The name, or None.

    Raises:
        ValueError: If the header has something that changes where or what the next member is.
    """
    if info.size > HEADER_BYTES:
        raise ValueError(f"a header of {info.size} bytes; want at most {HEADER_BYTES}")
    data = content.read(info.size)
    if info.type == tarfile.GNUTYPE_LONGLINK:
        return None
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return data.rstrip(b"\0").decode("utf-8", "surrogateescape")
    records = dict(_records(data))
    if any(key == "size" or key.startswith("GNU.sparse.") for key in records):
        raise ValueError("an extended header with the size of its member")
    if info.type == tarfile.XGLTYPE and "path" in records:
        raise ValueError("an extended header with one name for all members")
    return records.get("path")


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """Split an extended header: lines `<length of the line> <key>=<value>`."""
    start = 0
    while start < len(data):
        space = data.index(b" ", start, start + 10)
        end = start + int(data[start:space])
        if not space < end <= len(data) or data[end - 1 : end] != b"\n":
            raise ValueError("an extended header with a wrong length")
        key, _, value = data[space + 1 : end - 1].decode("utf-8", "surrogateescape").partition("=")
        yield key, value
        start = end
