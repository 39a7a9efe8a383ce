"""Every feature network keeps one contract."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from reflowbench.metrics.features import inception
from reflowbench.metrics.features.base import blockwise
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.metrics.features.registry import load_networks
from reflowbench.runtime.evaluations import distance_name
from tests.conftest import ROOT
from tests.metrics.features.made import MODES, NAMES, SHAPES, digest, images, load, params


@pytest.mark.parametrize("colour", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_every_network_keeps_the_contract(name, colour, weights, monkeypatch):
    monkeypatch.setattr(inception, "BLOCK", 2)
    shape = SHAPES[colour]
    state = torch.get_rng_state()
    network, x = load(name, weights, shape), images(shape, 3)
    before = x.clone()
    values = network.features(x)
    assert network.name == name
    assert values.shape == (3, network.dim) and values.dtype == np.float64 and np.isfinite(values).all()
    # the same again, alone, in another order, and from another load of the same weights
    assert (network.features(x[1:2]) == values[1:2]).all()
    assert (load(name, weights, shape).features(x.flip(0)) == values[::-1]).all()
    assert values.std(axis=0).max() > 0  # and they depend on the image
    assert torch.equal(x, before) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("n", [1, 7, 8, 20])
def test_blocks_have_one_size_whatever_is_asked_for(n):
    sizes = []

    def compute(block):
        sizes.append(len(block))
        return block.sum(dim=1, keepdim=True)

    x = images((1, 2, 2), n)
    assert blockwise(compute, x, 8) == pytest.approx(x.double().sum(dim=1, keepdim=True).numpy(), abs=1e-6)
    assert sizes == [8] * -(-n // 8)


def test_networks_come_in_the_order_of_the_parameters(weights):
    path = weights["script"]
    classifier = Classifier((1, 8, 8), 4, 8).eval()
    asked = params(["pixels", "inception", "classifier"], "clean", str(path), digest(path))
    networks = load_networks(asked, classifier, (1, 8, 8))
    assert [network.name for network in networks] == ["pixels", "inception_clean", "classifier"]
    assert networks[2] is classifier


def test_only_inception_may_be_called_fid():
    for name in NAMES:
        assert ("FID" in distance_name(name)) == name.startswith("inception")
        assert name in distance_name(name)


def test_nothing_heavy_is_imported_unasked():
    code = """
import sys
from pathlib import Path
from reflowbench import profiles
from reflowbench.runtime.params import EvaluateParams
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.metrics.features.registry import load_networks
values = profiles.resolve("tiny", Path("profiles"))["evaluate"] | {"features": ["classifier", "pixels"]}
load_networks(EvaluateParams(**values), Classifier((1, 8, 8), 2, 4), (1, 8, 8))
print({"cleanfid", "torchvision", "PIL"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_pixels_are_the_images(weights):
    x = images((3, 2, 2), 5)
    assert (load("pixels", weights, (3, 2, 2)).features(x) == x.numpy()).all()


@pytest.mark.parametrize("mode", MODES)
def test_loading_leaves_the_warning_filters_alone(mode, weights):
    """clean-fid switches all warnings off for good when it builds a resizer."""
    before = list(warnings.filters)
    load(f"inception_{mode}", weights, (1, 8, 8))
    assert warnings.filters == before
