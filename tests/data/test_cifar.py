"""CIFAR-10 in all its forms is one set of images; and no pickle of anybody runs anything."""

import io
import pickle
import struct
import sys
import tracemalloc

import numpy as np
import pytest

from reflowbench.data.packed import PackedImages
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.params import DataParams
from reflowbench.sources import cifar
from reflowbench.sources.archive import by_last_name, digest, read_files
from reflowbench.sources.cifar import read_cifar10
from reflowbench.sources.load import load_images
from reflowbench.sources.pickled import Call, Name, read_pickle
from tests.data.made import PROTO, STOP, all_images, cifar_files, cifar_images, python_2_batch, text
from tests.data.packing import CONTAINERS, packed


def pin(path):
    return digest(by_last_name(read_files(path, lambda name: "batch" in name), path))


def params(path, **changes):
    values = {"source": "cifar10", "path": str(path), "sha256": None, "n_images": None, "heldout": None}
    return DataParams(**(values | {"dequantize": False} | changes))


@pytest.mark.parametrize("form", ["python", "binary"])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_form_and_container_has_the_same_images_in_the_same_order(tmp_path, form, kind):
    path = packed(tmp_path, kind, cifar_files(form))
    found = read_cifar10(path, pin(path))
    pixels, labels = all_images()
    assert found.shape == (3, 32, 32) and found.count == 256 and found.tests == 10
    assert (found.levels.numpy() == pixels).all() and found.labels.tolist() == labels.tolist()


def test_what_is_read_is_what_pickle_and_numpy_make_of_it():
    """The file is of the real form: Python's own reader takes it, and gives the same."""
    pixels, labels = cifar_images(20)
    data = python_2_batch(pixels, labels)
    real = pickle.loads(data, encoding="bytes")
    assert (real[b"data"] == pixels).all() and real[b"labels"] == labels.tolist()
    ours = read_pickle(data)
    assert ours["labels"] == real[b"labels"] and (cifar._array(ours["data"]) == real[b"data"]).all()


@pytest.mark.parametrize("protocol", range(2, 5))
def test_batches_that_python_3_wrote_are_read_too(protocol):
    pixels, labels = cifar_images(20)
    data = pickle.dumps({"data": pixels, "labels": labels.tolist(), "filenames": ["a.png"] * 20}, protocol=protocol)
    found = cifar._python(io.BytesIO, data)
    assert (found[0] == pixels).all() and found[1].tolist() == labels.tolist()


def test_the_test_batch_is_held_out_and_the_set_is_packed(tmp_path):
    path = packed(tmp_path, "folder", cifar_files())
    train, heldout = load_images(params(path, sha256=pin(path)))
    pixels, labels = all_images()
    for part, rows in ((train, slice(50)), (heldout, slice(50, 60))):
        assert isinstance(part.images, PackedImages) and part.classes == 10
        found = {
            (label, row.tobytes()) for row, label in zip(part.images.levels.numpy(), part.labels.tolist(), strict=True)
        }
        assert found == {(int(label), row.tobytes()) for row, label in zip(pixels[rows], labels[rows], strict=True)}
    few, tests = load_images(params(path, sha256=pin(path), n_images=20))
    assert (len(few), len(tests)) == (20, 10)
    assert {row.tobytes() for row in few.images.levels.numpy()} == {row.tobytes() for row in pixels[:20]}
    share, rest = load_images(params(path, sha256=pin(path), heldout=0.2))
    assert (len(share), len(rest)) == (40, 10) and not {row.tobytes() for row in rest.images.levels.numpy()} & {
        row.tobytes() for row in pixels[50:]
    }


def test_image_files_are_cifar_if_they_are_of_its_size(tmp_path):
    from PIL import Image

    def png(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels.reshape(3, 32, 32).transpose(1, 2, 0)).save(file, "PNG")
        return file.getvalue()

    pixels, labels = cifar_images(20)
    entries = [(f"{label}/{i:03}.png", png(row)) for i, (row, label) in enumerate(zip(pixels, labels, strict=True))]
    path = packed(tmp_path, "zip", entries)
    found = read_cifar10(path, digest(read_files(path)))
    assert (found.levels.numpy() == pixels[np.argsort(labels, kind="stable")]).all() and found.tests == 0
    with pytest.raises(ReflowbenchError, match=r"data.heldout = null: .* has no test images of its own"):
        load_images(params(path, sha256=digest(read_files(path))))


def test_a_missing_set_says_where_it_is_looked_for_and_how_to_get_it(tmp_path):
    with pytest.raises(ReflowbenchError) as error:
        load_images(params(tmp_path / "none"))
    for part in ("data.path = ", "none", "cifar-10-batches-py", "cs.toronto.edu", "data.download: true"):
        assert part in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReflowbenchError, match=r"empty: no batch of CIFAR-10 \(data_batch_1"):
        load_images(params(tmp_path / "empty"))


def test_the_checksum_comes_before_any_batch_is_read(tmp_path, monkeypatch):
    path = packed(tmp_path, "folder", cifar_files())
    monkeypatch.setattr(cifar, "read_pickle", lambda data: pytest.fail("read"))
    with pytest.raises(ReflowbenchError, match=f"data.sha256 = null: want the checksum .*; found {pin(path)}"):
        load_images(params(path))


@pytest.mark.parametrize("form", ["python", "binary"])
def test_damaged_batches_are_named(tmp_path, form):
    files = cifar_files(form)
    for number, change in enumerate((lambda data: data[:-100], lambda data: b"", lambda data: data[:50] + data[60:])):
        broken = [(name, change(data) if "data_batch_3" in name else data) for name, data in files]
        path = packed(tmp_path / str(number), "folder", broken)
        with pytest.raises(ReflowbenchError, match="data_batch_3"):
            read_cifar10(path, pin(path))


class Runs:
    """Would run code when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile():
    """Pickles that would run, import or exhaust something, by what they do."""
    pixels, labels = cifar_images(4)
    whole = python_2_batch(pixels, labels)
    found = {f"eval, protocol {p}": pickle.dumps({"data": Runs(eval, "RAN.append(1)"), "labels": [1]}, protocol=p)
             for p in range(5)}  # fmt: skip
    found |= {f"exec, protocol {p}": pickle.dumps(Runs(exec, "RAN.append(1)"), protocol=p) for p in range(5)}
    found["os.system"] = b"cos\nsystem\n(S'touch ran'\ntR."
    found["inst"] = b"(S'touch ran'\nios\nsystem\n."
    found["obj"] = b"(cos\nsystem\nS'touch ran'\no."
    found["newobj"] = PROTO + b"cbuiltins\nobject\n)\x81."
    found["persistent"] = b"Pid\n."
    found["extension"] = PROTO + b"\x82\x01."
    found["a call that nobody asks for"] = whole[:-2] + text(b"x") + b"cos\nsystem\n(S'touch ran'\ntRu" + STOP
    found["another array"] = whole.replace(b"_reconstruct", b"_fromstring2")
    found["objects in it"] = whole.replace(b"U\x02u1", b"U\x02O8")
    found["larger than it is"] = whole.replace(
        b"T" + struct.pack("<i", pixels.size), b"T" + struct.pack("<i", 2**31 - 1)
    )
    found["memo of 2^31"] = PROTO + b"}r\xff\xff\xff\x7f."
    found["frame of 2^63"] = b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f}."
    found["bytes of 2^62"] = b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"."
    found["a key that takes forever"] = PROTO + b"})" + b"q\x00h\x00h\x00\x86" * 1 + b"2\x86" * 100 + b"Ns."
    nested = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(200))
    found["nested key"] = PROTO + b"}" + nested + b"Ns."
    found["nested name"] = PROTO + nested + nested + b"\x93."
    found["nested labels"] = PROTO + b"}" + b"U\x06labels" + nested + b"s" + STOP
    found["nested shape"] = whole.replace(b"(" + b"K\x04M\x00\x0ct", nested)
    found["deep"] = b"(" * 100_000 + b"."
    found["endless"] = PROTO + b"N0" * 10 + b"N" * 2_000_000 + b"."
    return found


RAN: list[int] = []


@pytest.mark.parametrize("name", hostile())
def test_a_hostile_pickle_is_an_error_and_nothing_runs(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    data, modules = hostile()[name], set(sys.modules)
    files = [(n, data if "data_batch_2" in n else d) for n, d in cifar_files()]
    path = packed(tmp_path, "folder", files)
    sha256 = pin(path)
    tracemalloc.start()
    if name == "a call that nobody asks for":  # is a note that nobody reads
        assert len(read_cifar10(path, sha256).levels) == 54
    else:
        with pytest.raises(ReflowbenchError, match="data_batch_2: "):
            read_cifar10(path, sha256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not RAN and not (tmp_path / "ran").exists() and peak < 10**8
    assert not {m for m in set(sys.modules) - modules if not m.startswith(("numpy", "encodings", "pickletools"))}


def test_the_reader_of_pickles_calls_nothing_and_gives_notes():
    value = read_pickle(pickle.dumps([1, (2.5, None), {"a": b"b"}, Runs(print, "x")], protocol=4))
    assert value[:3] == [1, (2.5, None), {"a": b"b"}]
    assert value[3] == Call(Name("builtins print"), ("x",)) and value[3].state is None


@pytest.mark.parametrize("seed", range(40))
def test_a_batch_with_any_byte_changed_is_read_or_refused(seed):
    """Never anything but an error of ours."""
    pixels, labels = cifar_images(3)
    data = bytearray(python_2_batch(pixels, labels))
    draw = np.random.default_rng(seed)
    for _ in range(200):
        place = int(draw.integers(len(data)))
        # the instructions are in the first and the last hundred bytes; the rest are pixels
        place = place if draw.random() < 0.1 else int(draw.choice([place % 150, len(data) - 1 - place % 100]))
        changed = data[:]
        changed[place] = int(draw.integers(256))
        try:
            found = cifar._python(io.BytesIO, bytes(changed))
        except ReflowbenchError:
            continue
        assert found[0].dtype == np.uint8 and all(0 <= label < 10 for label in found[1])
