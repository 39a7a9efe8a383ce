"""Image files out of a folder or an archive that somebody else made: safe names, plain files, bounded sizes.

All is read into memory. Whatever is refused is an error that names it, so nobody trains on a part of a data set.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.config import shortened
from reflowbench.sources.members import CHUNK, Member, Readable, members

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Files with other names are skipped: a README, a table of labels, an archive inside the archive."""
MEMBERS = 250_000
MEMBER_BYTES = 2**24
TOTAL_BYTES = 2**30
_NAME = 1024
_DRIVE = re.compile("[A-Za-z]:")
_SHOWN = 200


@contextlib.contextmanager
def faults_of(what: str) -> Iterator[None]:
    """Turn whatever a reader of untrusted bytes raises into an error that names the file.

    These readers raise what they stumble over, from OSError and SyntaxError to KeyError and struct.error, and which
    changes with their versions; so all of it counts as damage.

    Args:
        what: The file.

    Raises:
        ReflowbenchError: If anything is raised.
    """
    try:
        yield
    except ReflowbenchError:
        raise
    except Exception as error:
        reason = shortened(f"{type(error).__name__}: {error}", _SHOWN)
        raise ReflowbenchError(f"{what}: damaged, or not what its name says ({reason}); get it anew") from error


def is_image(name: str) -> bool:
    """Whether the last part of a name is that of an image."""
    return name.lower().endswith(SUFFIXES)


def read_files(
    path: Path,
    wanted: Callable[[str], bool] = is_image,
    what: str = f"image in it; want files that end in {', '.join(SUFFIXES)}",
    largest: int | None = None,
    times: int = 1,
) -> dict[str, bytes]:
    """Read all images, or other files that are wanted, undecoded.

    Hidden files, in hidden folders too, and those that are not wanted are skipped, once their names and kinds are
    found to be harmless.

    Args:
        path: A folder, .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz.
        wanted: Which files, by the last part of their names.
        what: What they are, for the error that there is none.
        largest: Bytes of one of them at most; None: MEMBER_BYTES.
        times: So many times TOTAL_BYTES in all (`data.limit_gib`).

    Returns:
        The bytes of each file by its name relative to the root, in order of the names: the same for a folder and any
        archive of it.

    Raises:
        ReflowbenchError: If it is missing or damaged, has no image, or has what a set of images need not have: names
            that lead elsewhere, links, devices, encrypted members, two of one name, or more than the limits above.
    """
    files: dict[str, bytes] = {}
    seen: set[str] = set()
    left = total = TOTAL_BYTES * times
    with faults_of(str(path)):
        if path.is_file() and path.stat().st_size > total:
            raise ReflowbenchError(f"{path}: more than {total} bytes; want a smaller set, or raise data.limit_gib")
        for count, member in enumerate(members(path, total)):
            if count == MEMBERS:
                raise ReflowbenchError(f"{path}: more than {MEMBERS} members; want a smaller set")
            name = _checked_name(path, member)
            if member.kind == "folder":
                continue
            if name in seen:
                raise ReflowbenchError(f"{path}: {name}: there twice; delete or rename one of them")
            seen.add(name)
            if wanted(name.rpartition("/")[2]) and not any(part.startswith(".") for part in name.split("/")):
                most = min((left, total), (largest or MEMBER_BYTES,) * 2)
                files[name] = _content(path, name, member, *most)
                left -= len(files[name])
    if not files:
        raise ReflowbenchError(f"{path}: no {what}")
    return {name: files[name] for name in sorted(files)}


def _checked_name(path: Path, member: Member) -> str:
    """The name without `.` and doubled slashes, once it is found to stay below the root.

    Returns:
        The name, its parts joined by `/`.

    Raises:
        ReflowbenchError: If the name leads elsewhere or cannot be shown, or the member is neither a file nor a folder.
    """
    parts = PurePosixPath(member.name).parts
    fault = ""
    if len(member.name) > _NAME:
        fault = f"a name of more than {_NAME} characters"
    elif not member.name.isprintable():  # nor of bytes that are not UTF-8
        fault = "a name with characters that cannot be printed"
    elif member.name.startswith("/") or "\\" in member.name or _DRIVE.match(member.name):
        fault = "an absolute name or one of Windows; want names relative to the root, with slashes"
    elif ".." in parts:
        fault = "a name that leads elsewhere (..)"
    elif member.kind not in ("file", "folder"):
        fault = f"{member.kind}; want nothing but files and folders"
    elif member.kind == "file" and not parts:
        fault = "a file without a name"
    if fault:
        raise ReflowbenchError(f"{path}: {shortened(member.name, _SHOWN)}: {fault}. Pack the images anew without it")
    return "/".join(parts)


def _content(path: Path, name: str, member: Member, most: int, limit: int) -> bytes:
    """All bytes of a member, which are counted: what a header claims of them is not believed.

    Returns:
        The bytes, decompressed.

    Raises:
        ReflowbenchError: If there are more than `most`, which is what others have left of `limit`, or they cannot be
            read.
    """
    with faults_of(f"{path}: {name}"), member.open() as file:
        return counted(file, most, limit, f"{path}: {name}", "want smaller images, or less of them")


def counted(file: Readable, most: int, limit: int, where: str, remedy: str) -> bytes:
    """All that a file gives, piece by piece.

    Args:
        file: The file.
        most: Bytes at most.
        limit: The bytes that the error names.
        where: Its name.
        remedy: What to do if there are more.

    Returns:
        The bytes, `most` of them or fewer.

    Raises:
        ReflowbenchError: If there are more.
    """
    content = bytearray()
    while chunk := file.read(CHUNK):
        content += chunk
        if len(content) > most:
            raise ReflowbenchError(f"{where}: more than {limit} bytes; {remedy}")
    return bytes(content)


def digest(files: Mapping[str, bytes]) -> str:
    """What `sha256sum` prints for the files in order of their names, hashed again: 64 hexadecimal digits.

    Args:
        files: Bytes by name.

    Returns:
        The digits.
    """
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n".encode())
    return total.hexdigest()


def check_pinned(files: Mapping[str, bytes], sha256: str | None, path: Path) -> None:
    """Compare files with the checksum that the parameters name, before anything in them is looked at.

    Args:
        files: Bytes by name.
        sha256: `data.sha256`; None gets the error that says it.
        path: Where they are.

    Raises:
        ReflowbenchError: If they are others.
    """
    found = digest(files)
    if found != sha256:
        asked = "null" if sha256 is None else repr(sha256)
        raise ReflowbenchError(
            f"data.sha256 = {asked}: want the checksum of the images in {path}; found {found}. Write this there if "
            "they are the images that you mean; if not, they are damaged or others: get them anew"
        )


def by_last_name(files: Mapping[str, bytes], path: Path) -> dict[str, bytes]:
    """Files by the last part of their names, so that a data set is the same in whatever folder it lies.

    Returns:
        The same files by their new names.

    Raises:
        ReflowbenchError: If two have the same.
    """
    found: dict[str, bytes] = {}
    for name, data in files.items():
        last = name.rpartition("/")[2]
        if last in found:
            raise ReflowbenchError(f"{path}: {last}: there twice, in {name} too; name the folder of one of them")
        found[last] = data
    return {name: found[name] for name in sorted(found)}
