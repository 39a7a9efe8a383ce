"""Images of anybody: a folder and any archive of it are one data set, and a hostile one is an error, not a break-in."""

import bz2
import gzip
import lzma
import os
import random
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import pytest
import torch

from reflowbench.sources import archive, members
from reflowbench.sources.archive import digest, read_files
from reflowbench.sources.pictures import read_images
from tests.data.packing import (
    ARCHIVES,
    CONTAINERS,
    GREY,
    TARS,
    encoded,
    packed,
    pinned,
    pixels,
    refused,
    tarred,
    zipped,
)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_folder_and_its_archives_are_one_data_set(tmp_path, kind):
    """Same checksum, order, classes and pixels; what is no image is skipped."""
    skipped = [(name, b"?") for name in ("README", "a/labels.txt", "._2.png", ".git/x.png", "b/inner.zip")]
    entries = [(name, encoded(image)) for name, image in GREY] + skipped
    path = packed(tmp_path, kind, entries)
    files = read_files(path)
    assert list(files) == ["a/9.png", "a/x/10.png", "b/2.png", "é ü.png"]
    assert digest(files) == digest(read_files(packed(tmp_path / "again", "folder", entries[::-1])))
    levels, labels, shape = read_images(path, digest(files))
    assert shape == (1, 4, 6) and levels.dtype == torch.uint8 and labels.dtype == torch.int64
    by_name = dict(GREY)
    assert levels.tolist() == [by_name[name].ravel().tolist() for name in files]
    assert labels.tolist() == [1, 3, 2, 0]  # of the folders a, x, b and none


@pytest.mark.parametrize("form", TARS)
def test_tars_of_every_format_have_the_names_that_tarfile_reads(tmp_path, form):
    names = ["./x/1.png", "ü/" + "y" * 90 + ".png", *["z/" * 90 + "é" * 80 + ".png"] * (form != "ustar"), "z.png"]
    info = tarfile.TarInfo("a/folder.png")
    info.type = tarfile.DIRTYPE
    global_header = tarfile.TarInfo.create_pax_global_header({"comment": "of git archive"}) if form == "pax" else b""
    path = tarred(tmp_path / "x.tar", [(info, b""), *((name, name.encode()) for name in names)], TARS[form])
    path.write_bytes(global_header + path.read_bytes())
    with tarfile.open(path) as file:
        expected = {m.name.removeprefix("./"): file.extractfile(m).read() for m in file if m.isreg()}
    assert read_files(path) == expected and len(expected) == len(names)


NAMES = {
    "/evil.png": "an absolute name",
    "//evil.png": "an absolute name",
    "../evil.png": "leads elsewhere",
    "a/../../evil.png": "leads elsewhere",
    "a/..": "leads elsewhere",
    "C:evil.png": "an absolute name or one of Windows",
    "a\\..\\evil.png": "an absolute name or one of Windows",
    "a\n.png": "cannot be printed",
    "a\x1b[2J.png": "cannot be printed",
    "x" * 1100 + ".png": "more than 1024 characters",
    "../evil.txt": "leads elsewhere",  # even though it would be skipped
}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_are_refused(tmp_path, kind, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    path = packed(inside, kind, [("ok.png", encoded(pixels())), (name, encoded(pixels()))])
    refused(path, NAMES[name], "evil" if "evil" in name else "")
    assert list(tmp_path.iterdir()) == [inside] and list(inside.iterdir()) == [path]


@pytest.mark.parametrize("form", TARS)
@pytest.mark.parametrize(
    ("type", "message"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device, pipe"),
        (tarfile.CONTTYPE, "a device"),
        (tarfile.GNUTYPE_SPARSE, "sparse file"),
        (b"Z", "a device"),
    ],
)
def test_what_is_no_file_in_a_tar_is_refused(tmp_path, form, type, message):
    info = tarfile.TarInfo("x.png")
    info.type, info.linkname = type, "/etc/" + "passwd" * 30 * (form != "ustar")
    refused(tarred(tmp_path / "x.tar", [(info, b"")], TARS[form]), "x.png", message)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_what_is_no_file_in_a_zip_is_refused(tmp_path, mode):
    info = zipfile.ZipInfo("x.png")
    info.external_attr = (mode | 0o777) << 16
    refused(zipped(tmp_path / "x.zip", [(info, b"/etc/passwd")]), "x.png", "a link or device")


@pytest.mark.parametrize("target", ["outside.png", "set/ok.png", "missing.png", "."])
def test_links_in_a_folder_are_refused(tmp_path, target):
    path = packed(tmp_path, "folder", [("ok.png", encoded(pixels()))])
    (tmp_path / "outside.png").write_bytes(encoded(pixels()))
    (path / "a").mkdir()
    (path / "a/x.png").symlink_to(tmp_path / target)
    refused(path, "a/x.png", "a link")


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_names_that_are_not_utf_8_are_refused(tmp_path, kind):
    refused(packed(tmp_path, kind, [("a\udcff.png", encoded(pixels()))]), "cannot be printed")


def test_names_in_a_zip_are_utf_8_whether_it_says_so_or_not(tmp_path):
    path = packed(tmp_path, "zip", [("XX.png", encoded(pixels()))])
    data = path.read_bytes()
    path.write_bytes(data.replace(b"XX", "é".encode()))
    assert list(read_files(path)) == ["é.png"]
    path.write_bytes(data.replace(b"XX", b"\xff\xff"))
    refused(path, "cannot be printed")


def test_a_pipe_in_a_folder_is_refused(tmp_path):
    """Opening it would wait for ever."""
    path = packed(tmp_path, "folder", [("ok.png", encoded(pixels()))])
    os.mkfifo(path / "x.png")
    refused(path, "x.png", "pipe")
    os.mkfifo(tmp_path / "x.zip")
    refused(tmp_path / "x.zip", "no such file")


def test_encrypted_members_are_refused(tmp_path):
    path = packed(tmp_path, "zip", [("x.png", encoded(pixels()))])
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    refused(path, "x.png", "without a password")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_without_bounds_is_refused(tmp_path, method):
    refused(zipped(tmp_path / "x.zip", [("x.png", b"?")], method), "x.png", "compression method")


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("names", [("a/x.png", "a/x.png"), ("a/x.png", "./a//x.png")])
def test_two_members_of_one_name_are_refused(tmp_path, kind, names):
    refused(packed(tmp_path, kind, [(name, encoded(pixels())) for name in names]), "a/x.png", "there twice")


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({"size": "5"}, "size of its member"),
        ({"GNU.sparse.realname": "x.png", "GNU.sparse.major": "1"}, "size of its member"),
        ({"path": "../evil.png"}, "leads elsewhere"),
        ({"comment": "x" * 70000}, "a header of 70"),
    ],
)
def test_extended_headers_that_change_the_member_are_refused(tmp_path, records, message):
    info = tarfile.TarInfo("x.png")
    info.pax_headers = records
    refused(tarred(tmp_path / "x.tar", [(info, b"12345")], tarfile.PAX_FORMAT), message)


@pytest.mark.parametrize(
    "body", [b"9 path=x", b"99 path=x\n", b"1 path=x\n", b"x a=b\n", b"6 a=b\n0 a=b\n", b"6 a=bc6 a=b\n", b"1" * 40]
)
def test_malformed_extended_headers_are_refused(tmp_path, body):
    info = tarfile.TarInfo("PaxHeader")
    info.type = tarfile.XHDTYPE
    refused(tarred(tmp_path / "x.tar", [(info, body), ("x.png", encoded(pixels()))]), "damaged")


def test_one_name_for_all_members_is_refused(tmp_path):
    path = tarred(tmp_path / "x.tar", [("x.png", b"?")])
    path.write_bytes(tarfile.TarInfo.create_pax_global_header({"path": "y.png"}) + path.read_bytes())
    refused(path, "one name for all")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_bomb_is_defused_within_its_limit(tmp_path, monkeypatch, kind):
    """Zeros that compress to nothing, read up to the limit and not further, whatever memory there is."""
    path = packed(tmp_path, kind, [("bomb.png", bytes(4 * 10**7))])
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(archive, "MEMBER_BYTES", 10**6)
    tracemalloc.start()
    refused(path, "bomb.png", "more than 1000000 bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


@pytest.mark.parametrize("kind", CONTAINERS)
def test_all_members_together_are_bounded(tmp_path, monkeypatch, kind):
    path = packed(tmp_path, kind, [(f"{i}.png", bytes(60_000)) for i in range(4)])
    monkeypatch.setattr(archive, "TOTAL_BYTES", 200_000)
    refused(path, "more than 200000 bytes")


@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz"])
def test_what_is_skipped_in_a_tar_counts(tmp_path, monkeypatch, kind):
    """It has to be decompressed to get past it."""
    path = packed(tmp_path, kind, [("bomb.txt", bytes(10**7)), ("x.png", encoded(pixels()))])
    monkeypatch.setattr(archive, "TOTAL_BYTES", 10**6)
    refused(path, "more than 1000000 bytes once decompressed")


@pytest.mark.parametrize("kind", CONTAINERS)
def test_the_number_of_members_is_bounded(tmp_path, monkeypatch, kind):
    path = packed(tmp_path, kind, [(f"{i}.txt", b"") for i in range(6)])
    monkeypatch.setattr(archive, "MEMBERS", 5)
    refused(path, "more than 5 members")


def test_the_size_of_the_archive_is_bounded(tmp_path, monkeypatch):
    path = packed(tmp_path, "zip", [("x.txt", random.Random(0).randbytes(2000))])
    monkeypatch.setattr(archive, "TOTAL_BYTES", 1000)
    refused(path, "more than 1000 bytes")


def test_the_table_of_a_zip_is_bounded(tmp_path, monkeypatch):
    """All of it would be read, and an object made of each entry, before the first member is seen."""
    path = packed(tmp_path, "zip", [(f"{i}.txt", b"") for i in range(100)])
    monkeypatch.setattr(members, "DIRECTORY_BYTES", 4000)
    refused(path, "more than 4000 bytes in its table of members")


def test_sizes_in_headers_are_not_believed(tmp_path):
    """A zip that claims less than there is, and a tar that claims more than any disk has."""
    path = packed(tmp_path, "zip", [("x.png", encoded(pixels()))])
    data = bytearray(path.read_bytes())
    for start in (22, data.index(b"PK\1\2") + 24):
        data[start : start + 4] = struct.pack("<I", 5)
    path.write_bytes(data)
    refused(path, "x.png", "damaged")
    for size, message in ((2**60, "ends too early"), (-1, "negative size"), (-5, "negative size")):
        info = tarfile.TarInfo("x.png")
        info.size = size
        (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
        refused(tmp_path / "x.tar", "damaged", message)


def test_what_is_there_is_named(tmp_path):
    refused(tmp_path / "none", "data.path = ", "no such file or folder")
    (tmp_path / "x.rar").touch()
    refused(tmp_path / "x.rar", "data.path = ", "want a folder, .zip, .tar, .tar.gz")
    for kind in CONTAINERS:
        refused(packed(tmp_path, kind, [("notes.txt", b"?")]), "no image in it")


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_cut_anywhere_are_refused(tmp_path, kind):
    """But for the zeros at the end of a tar: what is before them is complete."""
    whole = packed(tmp_path, kind, [(f"{i}.png", encoded(pixels(seed=i))) for i in range(3)]).read_bytes()
    last = 6 * 512 + 511 if kind == "tar" else len(whole) - 1
    path = tmp_path / f"cut.{kind}"
    for length in [*range(0, last, max(1, last // 80)), last]:
        path.write_bytes(whole[:length])
        refused(path, "damaged")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_bit_after_the_last_member_is_noticed(tmp_path, kind):
    """Checksums of compressed files come at their end, and nothing may hide behind the end of a tar."""
    tar = tarred(tmp_path / "x.tar", [("x.png", encoded(pixels()))]).read_bytes()
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind]
    path = tmp_path / f"x.tar.{kind}"
    for data in (pack(tar)[:-1] + b"?", pack(tar + bytes(512) + b"?"), pack(tar)[: -len(pack(b"")) // 4]):
        path.write_bytes(data)
        refused(path, "damaged")
    path.write_bytes(pack(tar + bytes(10**5)))
    assert len(pinned(path)[0]) == 1
