"""Bytes that no program wrote: a valid result, or an error that names the file, and never another exception."""

import random
import re
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from reflowbench.errors import ReflowbenchError
from reflowbench.sources import pictures
from tests.data.packing import ARCHIVES, GREY, encoded, packed, pinned, pixels, refused


def images_of_all_formats():
    small = Image.fromarray(pixels((12, 10, 3)))
    return {
        "PNG": encoded(small),
        "palette.PNG": encoded(small.convert("P"), transparency=3),
        "JPEG": encoded(small, "JPEG"),
        "progressive.JPEG": encoded(small, "JPEG", progressive=True, exif=Image.Exif()),
        "BMP": encoded(small.convert("P"), "BMP"),
        "WEBP": encoded(small, "WEBP"),
    }


@pytest.mark.parametrize("name", images_of_all_formats())
def test_images_cut_anywhere_are_refused_or_whole(monkeypatch, name):
    """JPEG and WEBP may lack their last marker, and PNG all that follows the pixels."""
    data = images_of_all_formats()[name]
    whole = in_memory(monkeypatch, name, data)
    for length in range(0, len(data), 2):
        levels = in_memory(monkeypatch, name, data[:length])
        assert levels is None or (length >= len(data) - 20 and torch.equal(levels, whole))


def in_memory(monkeypatch, name, data):
    """What becomes of one image, without the disk, which is slow; None if it is refused."""
    monkeypatch.setattr("tests.data.packing.read_files", lambda *_, **__: {name: data})
    monkeypatch.setattr(pictures, "read_files", lambda *_, **__: {name: data})
    return valid_or_refused(name)


def spoilt(data, draw):
    """Some bits turned, bytes replaced, cut out or put in."""
    data = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5, 20])):
        place = draw.randrange(len(data) + 1)
        kind = draw.randrange(4)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[place : place + 4] = draw.choice([b"\0" * 4, b"\xff" * 4, draw.randbytes(4)])
        elif kind == 2:
            del data[place : place + draw.randrange(1, 30)]
        else:
            data[place:place] = draw.randbytes(draw.randrange(1, 30))
    return bytes(data)


def valid_or_refused(path):
    """Any other exception, and any warning, fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            levels, labels, shape = pinned(path)
        except ReflowbenchError as error:
            assert str(path) in str(error) and re.fullmatch(r"[^\x00-\x1f\x7f]*", str(error))
            return None
    assert levels.shape == (len(labels), int(np.prod(shape))) and levels.dtype == torch.uint8
    return levels


@pytest.mark.parametrize("name", images_of_all_formats())
def test_spoilt_images_are_refused_or_read(monkeypatch, name):
    draw, whole = random.Random(name), images_of_all_formats()[name]
    refusals = [in_memory(monkeypatch, name, spoilt(whole, draw)) is None for _ in range(300)]
    assert any(refusals) and not all(refusals)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_spoilt_archives_are_refused_or_read(tmp_path, kind):
    entries = [(name, encoded(image)) for name, image in GREY] + [("deep/" * 30 + "x.png", encoded(pixels()))]
    whole = packed(tmp_path, kind, entries).read_bytes()
    draw, path = random.Random(kind), tmp_path / f"x.{kind}"
    refusals = 0
    for _ in range(150):
        path.write_bytes(spoilt(whole, draw))
        refusals += valid_or_refused(path) is None
    assert refusals


@pytest.mark.parametrize("kind", ARCHIVES)
def test_random_bytes_are_refused(tmp_path, kind):
    draw, path = random.Random(kind), tmp_path / f"x.{kind}"
    heads = {"zip": b"PK\3\4", "tar": b"", "tar.gz": b"\x1f\x8b\x08\0", "tar.bz2": b"BZh9", "tar.xz": b"\xfd7zXZ\0"}
    for size in range(0, 3000, 97):
        path.write_bytes(heads[kind] + draw.randbytes(size))
        assert valid_or_refused(path) is None


def test_a_bug_of_a_reader_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    """Pillow's plugins raise whatever they stumble over."""
    path = packed(tmp_path, "zip", [("x.png", encoded(pixels()))])
    for error in (KeyError(b"\0"), struct.error("x"), MemoryError(), RecursionError("\x1b[2J"), AssertionError("x")):

        def fail(*_, error=error, **__):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(Image, "open", fail)
            refused(path, "x.png", "damaged", type(error).__name__)
        with monkeypatch.context() as patch:
            patch.setattr(zipfile, "ZipFile", fail)
            refused(path, "damaged", type(error).__name__)
