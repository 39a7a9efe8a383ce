"""Data sets that torchvision can fetch, if `data.download` asks for it; nothing else here uses a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

from reflowbench.errors import ReflowbenchError

PAGES = {
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar.html",
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion": "https://github.com/zalandoresearch/fashion-mnist",
}
FORMS = {
    "cifar10": "the folder cifar-10-batches-bin or cifar-10-batches-py, or an archive of it",
    "mnist": "train- and t10k-, -images-idx3-ubyte.gz and -labels-idx1-ubyte.gz",
    "fashion": "train- and t10k-, -images-idx3-ubyte.gz and -labels-idx1-ubyte.gz (Debian: dataset-fashion-mnist)",
}


def missing(source: str, path: Path) -> ReflowbenchError:
    """The error for a data set that is not there: where it is looked for, and how to get it."""
    return ReflowbenchError(
        f"data.path = {str(path)!r}: nothing is there. The source {source} is looked for in this folder or archive: "
        f"{FORMS[source]}. Get it from {PAGES[source]}, or let torchvision fetch it: data.download: true"
    )


def is_incomplete(source: str, path: Path) -> bool:
    """Whether a folder is one to fetch into: not there, empty, or with some of the files that torchvision fetches.

    Files that are as they should be are not fetched again. A folder with anything else is somebody's own.

    Returns:
        Whether files may be put there; also for a set that is whole, of which nothing is fetched.
    """
    if not path.is_dir():
        return not path.exists()
    there = {file.name for file in path.iterdir()}
    return not there or any(name in there for _, name, _ in _files(source))


def fetch(source: str, path: Path) -> None:
    """Have torchvision fetch the files of a data set, as they are: nothing is unpacked, and no pickle opened.

    Args:
        source: `cifar10`, `mnist` or `fashion`.
        path: The folder to put them in.

    Raises:
        ReflowbenchError: If they cannot be had, or are not those that torchvision knows.
    """
    from torchvision.datasets.utils import download_url

    for urls, name, md5 in _files(source):
        fault = ""
        for url in urls:
            try:
                download_url(url, str(path), filename=name, md5=md5)
                break
            except (URLError, OSError, RuntimeError) as error:
                fault = f"{url}: {error}"
        else:
            raise ReflowbenchError(
                f"data.download: torchvision could not fetch {name} ({fault}); get it from {PAGES[source]} and put it "
                f"into {path}"
            )


def _files(source: str) -> Iterator[tuple[list[str], str, str]]:
    """Addresses, name and md5 of each file."""
    from torchvision import datasets

    if source == "cifar10":
        yield [datasets.CIFAR10.url], datasets.CIFAR10.filename, datasets.CIFAR10.tgz_md5
        return
    kind: Any = datasets.MNIST if source == "mnist" else datasets.FashionMNIST
    for name, md5 in kind.resources:
        yield [f"{mirror}{name}" for mirror in kind.mirrors], name, md5
