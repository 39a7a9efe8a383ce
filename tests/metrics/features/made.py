"""Feature networks with random weights, and images for them."""

import hashlib

import numpy as np
import torch

from reflowbench import profiles
from reflowbench.data.images import ImageSet
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.metrics.features.registry import load_networks
from reflowbench.runtime.params import EvaluateParams
from tests.conftest import ROOT

MODES = ("clean", "legacy_tensorflow", "legacy_pytorch")
SHAPES = {"grey": (1, 8, 8), "colour": (3, 6, 9)}
NAMES = ("classifier", "pixels", *(f"inception_{mode}" for mode in MODES), "efficientnet_lite0")


class Layers(torch.nn.Module):
    """Stands in for the convolutions of Inception: 2048 numbers of a 299x299 image."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 31, stride=24)
        self.out = torch.nn.Linear(8 * 12 * 12, 2048)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.conv(x)).flatten(1))


class Graph(torch.nn.Module):
    """Stands in for the whole TorchScript network, which resizes by itself."""

    def __init__(self):
        super().__init__()
        self.layers = Layers()

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert return_features
        resized = torch.nn.functional.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
        return self.layers(resized / 127.5 - 1)  # as the real one: not what the mode clean does outside


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def params(features, mode="clean", path=None, sha256=None):
    values = profiles.resolve("tiny", ROOT / "profiles")["evaluate"]
    return EvaluateParams(
        **(values | {"features": features, "inception": {"mode": mode, "weights": path, "sha256": sha256}})
    )


def load(name, weights, shape, classes=4, dim=8):
    """The network of that name in the results."""
    kind, _, mode = name.partition("_")
    path = weights["state" if mode == "legacy_pytorch" else "script"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classifier = Classifier(shape, classes, dim).eval()
    asked = params([kind], mode, str(path), digest(path)) if kind == "inception" else params([kind])
    (network,) = load_networks(asked, classifier, shape)
    return network


def images(shape, n, levels=256, seed=0):
    """Random images at grey levels, as flat float32 in [-1, 1]."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.rand(n, int(np.prod(shape)), generator=draw) * 2 - 1
    return ImageSet(pixels, torch.arange(n) % 4, shape, levels, dequantized=False).real
