"""What a plan assumes of images that are not there yet; where they are, it assumes nothing."""

import pytest

from reflowbench import cli, profiles
from reflowbench.cost.plan import Planner
from reflowbench.cost.sizes import sets_of, space_of
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.config import validate
from reflowbench.sources.load import load_images
from tests.conftest import ROOT


def params_of(profile):
    return validate(profiles.resolve(profile, ROOT / "profiles"), profile)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("profile", "sizes"), [("cifar10", (50_000, 10_000)), ("fashion", (60_000, 10_000))])
def test_published_sets_are_known(profile, sizes):
    params = params_of(profile)
    train, heldout, (assumed,) = sets_of(params.data, None)
    assert (len(train), len(heldout)) == sizes and train.classes == 10
    assert f"{params.data.path} is not there yet" in assumed
    assert train.dequantized == params.data.dequantize


def test_a_share_is_held_out_of_a_given_number():
    train, heldout, (assumed,) = sets_of(params_of("celebahq-latent").data, (30_000, 3, 256, 256))
    assert (len(train), len(heldout), train.shape) == (27_000, 3_000, (3, 256, 256))
    assert assumed == "Assumed (--images): 27,000 + 3,000 images of 3x256x256, 10 classes."


def test_what_is_not_known_is_asked_for():
    with pytest.raises(ReflowbenchError, match="say by --images"):
        sets_of(params_of("celebahq-latent").data, None)


def test_latents_of_an_autoencoder_that_is_not_there():
    space, (assumed,) = space_of(params_of("celebahq-latent").latents, (3, 256, 256))
    assert space == (4, 32, 32) and "data/sd-vae is not there yet" in assumed
    assert space_of(params_of("cifar10").latents, (3, 32, 32)) == ((3, 32, 32), [])


def test_a_plan_does_not_look_at_values():
    """The one made of assumed images is that of real ones: 1,797 digits, but for grey levels that take a byte."""
    params = params_of("digits")
    real = Planner(params, *load_images(params.data), (1, 8, 8)).lines()
    train, heldout, _ = sets_of(params.data, (1797, 1, 8, 8))
    assumed = Planner(params, train, heldout, (1, 8, 8)).lines()
    assert [(line.group, line.stages, line.work) for line in real] == [
        (line.group, line.stages, line.work) for line in assumed
    ]


@pytest.mark.parametrize("text", ["5", "5x3x32", "5x3x32x32x1", "ax3x32x32", "0x3x32x32", "-1x3x32x32", "5x3x32x"])
def test_sizes_that_are_none(text, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["cost", "--images", text])
    assert stop.value.code == 2 and "--images" in capsys.readouterr().err


def test_the_papers_scale_on_a_terminal(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for profile, extra in (("cifar10", []), ("celebahq-latent", ["--images", "30000x3x256x256"])):
        cli.main(["cost", "--profile", profile, "--flops", "1e14", *extra])
        said = capsys.readouterr().out
        assert "35,7" in said and "Assumed (" in said
