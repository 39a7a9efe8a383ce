"""Folders and archives of images, made in the test."""

import io
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from reflowbench.errors import ReflowbenchError
from reflowbench.sources.archive import digest, read_files
from reflowbench.sources.pictures import read_images

ARCHIVES = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]
CONTAINERS = ["folder", *ARCHIVES]
TARS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def pixels(shape=(4, 6), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


GREY = [("b/2.png", pixels(seed=1)), ("a/x/10.png", pixels(seed=2)), ("a/9.png", pixels(seed=3)), ("é ü.png", pixels())]


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def tarred(path, entries, form=tarfile.GNU_FORMAT):
    """Entries are pairs of a name or TarInfo, and bytes."""
    with tarfile.open(path, f"w:{path.suffix[1:].removeprefix('tar')}", format=form) as file:
        for name, data in entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def zipped(path, entries, method=zipfile.ZIP_DEFLATED):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as file:
        warnings.simplefilter("ignore")  # zipfile warns of names that are there twice
        for name, data in entries:
            file.writestr(name, data)
    return path


def packed(folder, kind, entries):
    """A folder or archive that holds the pairs of name and bytes, in their order."""
    path = folder / ("set" if kind == "folder" else f"set.{kind}")
    if kind == "zip":
        return zipped(path, entries)
    if kind != "folder":
        return tarred(path, entries)
    for name, data in entries:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def pinned(path):
    """Read images, whatever their checksum is."""
    return read_images(path, digest(read_files(path)))


def refused(path, *parts):
    with pytest.raises(ReflowbenchError) as error:
        pinned(path)
    for part in (str(path), *parts):
        assert part in str(error.value)
