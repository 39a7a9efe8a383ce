"""Idx files of MNIST and Fashion-MNIST, compressed or not, in a folder, an archive or torchvision's layout."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.params import DataParams
from reflowbench.sources import idx
from reflowbench.sources.archive import digest
from reflowbench.sources.idx import read_idx, values
from reflowbench.sources.load import load_images
from tests.data import made
from tests.data.packing import CONTAINERS, packed

PLAIN = dict(made.idx_files(compressed=False))
PIN = digest(PLAIN)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_is_one_data_set(tmp_path, kind, compressed):
    path = packed(tmp_path, kind, [*made.idx_files(compressed=compressed), ("README.md", b"?")])
    found = read_idx(path, PIN, "fashion")
    assert found.shape == (1, 28, 28) and found.tests == 10 and found.count == 256
    pixels = [np.frombuffer(PLAIN[f"{part}-images-idx3-ubyte"][16:], np.uint8) for part in ("train", "t10k")]
    assert (found.levels.numpy().ravel() == np.concatenate(pixels)).all()
    assert found.labels.tolist() == [i % 10 for i in range(30)] + list(range(10))


def test_torchvisions_layout_has_both_forms_of_each_file_and_both_data_sets(tmp_path):
    for folder, files in (("MNIST", made.idx_files(train=20)), ("FashionMNIST", made.idx_files())):
        raw = tmp_path / folder / "raw"
        raw.mkdir(parents=True)
        for name, data in files:
            (raw / name).write_bytes(data)
            (raw / name.removesuffix(".gz")).write_bytes(gzip.decompress(data))
    assert len(read_idx(tmp_path, PIN, "fashion").levels) == 40
    with pytest.raises(ReflowbenchError, match="want the checksum"):
        read_idx(tmp_path, PIN, "mnist")
    (tmp_path / "MNIST").rename(tmp_path / "other")
    with pytest.raises(ReflowbenchError, match="there twice"):
        read_idx(tmp_path, PIN, "mnist")


def test_the_test_images_are_held_out(tmp_path):
    path = packed(tmp_path, "folder", made.idx_files())
    train, heldout = load_images(
        DataParams(source="fashion", path=str(path), sha256=PIN, n_images=None, heldout=None, dequantize=True)
    )
    assert (len(train), len(heldout)) == (30, 10)
    level = (train.images[:] + 1) / 2 * 256
    assert ((level - level.floor()) > 0).all() and train.images[:].abs().max() < 1
    assert (train.to_bytes(train.real[:])[..., 0].reshape(30, -1) == train.images.levels.numpy()).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an idx file of bytes with 3 axes"),
        (made.idx(np.zeros((2, 3), np.uint8)), "not an idx file of bytes with 3 axes"),
        (b"\0\0\x0d\x03" + struct.pack(">3I", 1, 1, 1) + bytes(4), "not an idx file of bytes"),
        (made.idx(np.zeros((2, 3, 4), np.uint8))[:-1], "23 bytes where its header says"),
        (made.idx(np.zeros((2, 3, 4), np.uint8)) + b"x", "25 bytes where its header says"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1), "0 bytes where its header says"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 2**31, 4), "0 bytes where its header says"),
    ],
)
def test_a_file_that_is_not_what_it_claims_is_named(tmp_path, data, message):
    with pytest.raises(ReflowbenchError, match=message):
        values(data, tmp_path / "train-images-idx3-ubyte", 3)
    files = [(name, gzip.compress(data) if name.startswith("t10k-images") else d) for name, d in made.idx_files()]
    path = packed(tmp_path, "folder", files)
    plain = {name.removesuffix(".gz"): gzip.decompress(d) for name, d in files}
    with pytest.raises(ReflowbenchError, match=f"t10k-images-idx3-ubyte: .*{message}"):
        read_idx(path, digest(plain), "mnist")


@pytest.mark.parametrize(
    "change",
    [
        {"train-labels-idx1-ubyte": made.idx(np.full(30, 10, np.uint8))},
        {"train-labels-idx1-ubyte": made.idx(np.zeros(29, np.uint8))},
        {"t10k-images-idx3-ubyte": made.idx(np.zeros((10, 14, 14), np.uint8))},
        {"t10k-images-idx3-ubyte": made.idx(np.zeros((0, 28, 28), np.uint8)),
         "t10k-labels-idx1-ubyte": made.idx(np.zeros(0, np.uint8))},
    ],
)  # fmt: skip
def test_images_and_labels_that_do_not_fit_are_refused(tmp_path, change):
    files = PLAIN | change
    path = packed(tmp_path, "zip", list(files.items()))
    with pytest.raises(ReflowbenchError, match=str(path)):
        read_idx(path, digest(files), "mnist")


@pytest.mark.parametrize("missing", list(PLAIN))
def test_a_missing_file_is_named(tmp_path, missing):
    path = packed(tmp_path, "folder", [(name, data) for name, data in PLAIN.items() if name != missing])
    with pytest.raises(ReflowbenchError, match=f"{missing} is missing, with or without .gz"):
        read_idx(path, PIN, "mnist")


def test_a_bomb_is_defused(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "BYTES", 10**6)
    files = [(n, gzip.compress(bytes(10**8)) if n.startswith("train-images") else d) for n, d in made.idx_files()]
    path = packed(tmp_path, "folder", files)
    tracemalloc.start()
    with pytest.raises(ReflowbenchError, match=r"train-images-idx3-ubyte.gz: more than 1000000 bytes"):
        read_idx(path, PIN, "mnist")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_damaged_gz_files_are_named(tmp_path):
    for number, change in enumerate((lambda d: d[:-9], lambda d: b"x" + d[1:], lambda d: d[:-8] + bytes(8))):
        files = [(n, change(d) if n.startswith("t10k-images") else d) for n, d in made.idx_files()]
        path = packed(tmp_path / str(number), "folder", files)
        with pytest.raises(ReflowbenchError, match="t10k-images-idx3-ubyte.gz: damaged"):
            read_idx(path, PIN, "mnist")
