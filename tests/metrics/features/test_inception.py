"""Inception: the file that its weights come from."""

import pytest
import torch

from reflowbench.errors import ReflowbenchError
from reflowbench.metrics.features import inception
from tests.metrics.features.made import MODES, digest, images, params


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
