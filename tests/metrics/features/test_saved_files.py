"""8-bit networks see exactly what clean-fid reads from saved files."""

import shutil

import pytest
import torch

from reflowbench.data.images import ImageSet
from reflowbench.data.png import write_png
from reflowbench.metrics.features import efficientnet, inception
from tests.metrics.features.made import MODES, SHAPES, images, load


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
