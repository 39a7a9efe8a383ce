"""A small classifier of the data set's own classes, whose penultimate layer is the feature space.

For 8x8 digits Inception features mean nothing; the usual choice is a classifier of the domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reflowbench.core.optimizer import Adam
from reflowbench.core.randomness import generator
from reflowbench.data.images import ImageSet
from reflowbench.data.packed import Rows
from reflowbench.errors import ReflowbenchError
from reflowbench.metrics.features.base import blockwise
from reflowbench.runtime.artifacts import read_tensors, write_tensors
from reflowbench.runtime.params import FeaturesParams
from reflowbench.runtime.resume import flat, part_of
from reflowbench.runtime.workspace import State

_AT_ONCE = 2048
"""Held-out images that are classified at a time."""


class Classifier(nn.Module):
    """Three convolutions, a feature layer and a linear head."""

    name = "classifier"

    def __init__(self, shape: tuple[int, int, int], classes: int, dim: int) -> None:
        super().__init__()
        channels, height, width = shape
        self._shape = shape
        self.dim = dim
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * -(-height // 4) * -(-width // 4), dim),
        )
        self.head = nn.Linear(dim, classes)

    @property
    def _device(self) -> torch.device:
        return self.head.weight.device

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Class logits, shape (n, classes), of flat images in [-1, 1], shape (n, c*h*w)."""
        logits: torch.Tensor = self.head(torch.relu(self.body(images.reshape(-1, *self._shape))))
        return logits

    def features(self, images: Rows) -> NDArray[np.float64]:
        """Features before the last rectifier, float64 of shape (n, dim), of flat images in [-1, 1]."""
        return blockwise(lambda block: self.body(block.reshape(-1, *self._shape)), images, device=self._device)

    def probabilities(self, images: Rows) -> NDArray[np.float64]:
        """Probability of each class, float64 of shape (n, classes), of flat images in [-1, 1]."""
        return blockwise(lambda block: self(block).double().softmax(dim=1), images, device=self._device)


class ClassifierTraining:
    """Trains a classifier on the images that the models are trained on."""

    def __init__(self, data: ImageSet, params: FeaturesParams) -> None:
        """Initialise the network.

        Args:
            data: Labelled images.
            params: Architecture and training length.
        """
        self._data, self._params = data, params
        self._images = data.real
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(params.seed)
            self.network = Classifier(data.shape, data.classes, params.dim)
        self._optimizer = Adam(list(self.network.parameters()))
        self.done = 0

    def __len__(self) -> int:
        """Number of steps."""
        return self._params.steps

    def __iter__(self) -> Iterator[float]:
        """Take the steps that are left, yielding the loss of each.

        Yields:
            Cross-entropy of each step, in nats.

        Raises:
            ReflowbenchError: If the training diverges.
        """
        while (step := self.done) < self._params.steps:
            draw = generator(self._params.seed, "classifier batch", step=step)
            rows = torch.randint(len(self._data), (self._params.batch,), generator=draw)
            loss = nn.functional.cross_entropy(self.network(self._images[rows]), self._data.labels[rows])
            self._optimizer.zero_grad()
            if not torch.isfinite(loss):
                raise ReflowbenchError(
                    f"training of the feature classifier diverged at step {step} (loss {loss.item()}); no weights were "
                    "written: lower features.lr"
                )
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step(self._params.lr)
            self.done += 1
            yield loss.item()

    def state(self) -> State:
        """Weights and the optimizer's state."""
        parts = {"weights": self.network.state_dict(), "optimizer": self._optimizer.state()}
        return flat(parts), {"done": self.done}

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.network.load_state_dict(part_of(tensors, "weights"))
        self._optimizer.restore(part_of(tensors, "optimizer"))
        self.done = facts["done"]

    def accuracy(self, heldout: ImageSet) -> float:
        """Share of other images that are classified right."""
        with torch.inference_mode():
            parts = (heldout.real[start : start + _AT_ONCE] for start in range(0, len(heldout), _AT_ONCE))
            guess = torch.cat([self.network(part).argmax(dim=1) for part in parts])
        return float((guess == heldout.labels).double().mean())


def save(path: Path, network: Classifier, data: ImageSet, params: FeaturesParams, accuracy: float) -> None:
    """Write the classifier, its geometry and its accuracy."""
    facts = {"shape": list(data.shape), "classes": data.classes, "dim": params.dim, "test_accuracy": accuracy}
    write_tensors(path, network.state_dict(), facts)


def load(path: Path, device: torch.device | str = "cpu") -> tuple[Classifier, float]:
    """Read a classifier written by `save`.

    Args:
        path: The file.
        device: Where the classifier goes.

    Returns:
        The classifier in evaluation mode, and its accuracy on held-out images.

    Raises:
        ReflowbenchError: If the file is missing, damaged or holds something else.
    """
    tensors, facts = read_tensors(path)
    try:
        network = Classifier(tuple(facts["shape"]), facts["classes"], facts["dim"])
        network.load_state_dict(tensors)
        return network.eval().to(device), facts["test_accuracy"]
    except (KeyError, RuntimeError) as error:
        raise ReflowbenchError(f"{path}: not a feature classifier ({error}); delete it and run `dvc repro`") from None
