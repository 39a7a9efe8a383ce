"""Files of anybody as tensors: which pixels they are, and what is refused before it is decoded."""

import hashlib
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.params import DataParams
from reflowbench.sources import pictures
from reflowbench.sources.archive import digest, read_files
from reflowbench.sources.load import load_images
from tests.data.packing import GREY, encoded, packed, pinned, pixels, refused


def params(**changes):
    values = {"source": "images", "path": "x", "sha256": None, "n_images": None, "heldout": 0.5, "dequantize": False}
    return DataParams(**(values | changes))


@pytest.mark.parametrize(
    ("kind", "mode", "channels"),
    [
        *(("PNG", mode, 1) for mode in ("1", "L", "LA")),
        *(("PNG", mode, 3) for mode in ("P", "RGB", "RGBA")),
        *(("BMP", mode, 1 if mode == "L" else 3) for mode in ("L", "RGB")),
        *(("WEBP", mode, 3) for mode in ("L", "RGB", "RGBA")),  # which knows no grey
    ],
)
def test_pixels_are_those_of_the_file(tmp_path, kind, mode, channels):
    image = Image.fromarray(pixels((4, 6, 3))).convert(mode)
    options = {"lossless": True} if kind == "WEBP" else {}
    levels, _, shape = pinned(packed(tmp_path, "zip", [(f"x.{kind}", encoded(image, kind, **options))]))
    expected = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(4, 6, -1)
    assert shape == (channels, 4, 6) and (levels.numpy().reshape(shape) == expected.transpose(2, 0, 1)).all()


def test_jpeg_files_are_read(tmp_path):
    smooth = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    for options in ({}, {"progressive": True}):
        levels, _, shape = pinned(packed(tmp_path, "tar", [("x.JPG", encoded(smooth, "JPEG", quality=95, **options))]))
        assert shape == (1, 16, 16) and np.abs(levels.numpy().ravel() - np.arange(256.0)).max() < 8


def test_one_colour_image_makes_all_colour(tmp_path):
    colour = pixels((4, 6, 3))
    levels, labels, shape = pinned(packed(tmp_path, "zip", [("b.png", encoded(colour)), ("a.png", encoded(pixels()))]))
    assert shape == (3, 4, 6) and labels.tolist() == [0, 0]
    assert (levels[0].reshape(shape).numpy() == pixels()).all()
    assert (levels[1].reshape(shape).numpy() == colour.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("dequantize", [False, True])
def test_images_are_a_source(tmp_path, dequantize):
    """Rounded to grey levels, the two parts are the files' bytes."""
    path = packed(tmp_path, "zip", [(name, encoded(image)) for name, image in GREY])
    train, heldout = load_images(params(path=str(path), sha256=digest(read_files(path)), dequantize=dequantize))
    assert train.levels == 256 and train.shape == (1, 4, 6) and (len(train), len(heldout)) == (2, 2)
    found = [row.ravel().tolist() for part in (train, heldout) for row in part.to_bytes(part.real)]
    assert sorted(found) == sorted(image.ravel().tolist() for _, image in GREY)
    with pytest.raises(ReflowbenchError, match="data.n_images = 5: the source images has only 4 images"):
        load_images(params(path=str(path), sha256=digest(read_files(path)), n_images=5))


@pytest.mark.parametrize(
    ("dequantize", "expected"),
    [
        (False, "c9116f30b89c5a9e290a317ab3b3ce88a81353b17b1a0cc0bee1be20fe463a7d"),
        (True, "feec16d4199d65782d635022afc847f58bf0549da8a7433b76f655724faa7114"),
    ],
)
def test_the_digits_are_the_bytes_that_they_were_before(dequantize, expected):
    train, _ = load_images(params(source="digits", path=None, heldout=0.2, dequantize=dequantize))
    assert hashlib.sha256(train.images.numpy().tobytes() + train.labels.numpy().tobytes()).hexdigest() == expected


def test_the_checksum_comes_before_any_image_is_opened(tmp_path, monkeypatch):
    path = packed(tmp_path, "zip", [("x.png", encoded(pixels()))])
    found = digest({"x.png": encoded(pixels())})
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    for wrong, shown in ((None, "null"), ("0" * 64, f"'{'0' * 64}'")):
        with pytest.raises(ReflowbenchError, match=f"data.sha256 = {shown}: want the checksum .*; found {found}"):
            load_images(params(path=str(path), sha256=wrong))


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="no sha256sum")
def test_the_checksum_is_what_the_shell_computes(tmp_path):
    path = packed(tmp_path, "folder", [(name, encoded(image)) for name, image in GREY])
    command = "find . -type f -printf '%P\\n' | LC_ALL=C sort | tr '\\n' '\\0' | xargs -0 sha256sum | sha256sum"
    found = subprocess.run(command, shell=True, cwd=path, capture_output=True, text=True, check=True).stdout
    assert found.split()[0] == digest(read_files(path))


def test_every_change_of_the_files_changes_the_checksum():
    sets = [{"a": b"1", "b": b"2"}, {"a": b"2", "b": b"1"}, {"a": b"1"}, {"a": b"1", "c": b"2"}, {"a": b"12", "b": b""}]
    assert len({digest(files) for files in sets}) == len(sets)
    assert digest({"b": b"2", "a": b"1"}) == digest(sets[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": None}, "give data.path"),
        ({"path": ""}, "give data.path"),
        ({"source": "digits"}, "make both null"),
        ({"source": "digits", "path": None, "sha256": "0" * 64}, "make both null"),
        ({"sha256": "abc"}, "should match pattern"),
    ],
)
def test_parameters_that_do_not_fit_the_source(changes, message):
    with pytest.raises(ValidationError, match=message):
        params(**changes)


def png_of(width, height, data=b""):
    """A PNG whose header claims a size."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", data or zlib.compress(bytes(10))),
        (b"IEND", b""),
    ]
    body = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize("side", [2049, 10_000, 12_000, 60_000, 2**31 - 1])
def test_an_image_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path, monkeypatch, side):
    monkeypatch.setattr(pictures, "_pixels", lambda *_: pytest.fail("decoded"))
    for kind in ("zip", "folder"):
        entries = [("a.png", encoded(pixels())), ("bomb.png", png_of(side, side))]
        refused(packed(tmp_path, kind, entries), "bomb.png", f"{side} x {side}" if side < 9000 else "pixels")


@pytest.mark.parametrize("size", [(60_000, 60_000), (16_384, 16_384), (4000, 4000)])
def test_other_formats_that_claim_to_be_huge_are_refused(tmp_path, size):
    bmp = bytearray(encoded(pixels(), "BMP"))
    bmp[18:26] = struct.pack("<ii", *size)
    jpeg = bytearray(encoded(pixels(), "JPEG"))
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = struct.pack(">HH", *size)
    side = struct.pack("<I", size[0] - 1)[:3]
    webp = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + side + side + encoded(pixels(), "WEBP")[12:]
    webp = b"RIFF" + struct.pack("<I", len(webp)) + webp
    for name, data in (("x.bmp", bmp), ("x.jpg", jpeg), ("x.webp", webp)):
        refused(packed(tmp_path, "tar", [(name, bytes(data))]), name)


def test_all_images_together_are_bounded(tmp_path, monkeypatch):
    """A megapixel of zeros is a kilobyte of PNG, as often as one likes."""
    monkeypatch.setattr(pictures, "VALUES", 3 * 10**6)
    monkeypatch.setattr(pictures, "_pixels", lambda *_: pytest.fail("decoded"))
    white = encoded(Image.new("L", (1000, 1000)))
    refused(packed(tmp_path, "zip", [(f"{i}.png", white) for i in range(4)]), "4000000 values", "at most 3000000")


def test_a_jpeg_of_endless_scans_is_refused(tmp_path):
    jpeg = encoded(Image.new("L", (64, 64)), "JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    refused(packed(tmp_path, "zip", [("x.jpg", jpeg[:-2] + 200 * scan + jpeg[-2:])]), "x.jpg", "more than 100 scans")


def test_images_of_two_sizes_are_named(tmp_path):
    path = packed(tmp_path, "tar", [("a.png", encoded(pixels((4, 6)))), ("b/c.png", encoded(pixels((6, 4))))])
    refused(path, "b/c.png: 4 x 6 pixels, but a.png has 6 x 4")


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PPM", "ICO", "EPS"])
def test_other_formats_under_a_name_of_an_image_are_refused(tmp_path, kind):
    image = Image.fromarray(pixels((32, 32, 3)))
    refused(packed(tmp_path, "zip", [("x.png", encoded(image, kind))]), "x.png", "UnidentifiedImageError")


@pytest.mark.parametrize("image", [Image.new("I;16", (4, 4)), Image.new("CMYK", (4, 4))])
def test_other_modes_are_refused(tmp_path, image):
    data = encoded(image, "PNG" if image.mode == "I;16" else "JPEG")
    refused(packed(tmp_path, "zip", [("x.png", data)]), "x.png", f"mode {image.mode}")
