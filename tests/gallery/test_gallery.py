"""Grids and animations of a model's samples, and what is said when the model is not there."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from reflowbench import cli, profiles
from reflowbench.core.randomness import noise
from reflowbench.data.png import tile
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.solvers import solve
from reflowbench.gallery.draw import samples, states, write_animation, write_grid
from reflowbench.gallery.models import Model, open_model
from reflowbench.networks.model import load_model, save_model
from reflowbench.runtime import config
from tests.conftest import NETWORK, on_pixels
from tests.pictures import read_png

MODEL = "runs/chains/rca/s3/round1/model"


@pytest.fixture
def workspace(tmp_path, monkeypatch, images, network):
    """A model of seed 3 and the images that it was trained on."""
    monkeypatch.chdir(tmp_path)
    config._read.cache_clear()  # that of another test's params.yaml
    images.save(tmp_path / "runs/space/train.safetensors")
    save_model(tmp_path / MODEL, network, NETWORK, images.shape, {}, lambda path: None)
    profile = on_pixels()
    profile["grid"]["seeds"] = [0, 3]
    (tmp_path / "params.yaml").write_text(profiles.render(profile))
    return tmp_path


def fails(*arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    return str(stop.value.code)


def test_a_grid_shows_the_samples_that_an_evaluation_makes(workspace, images, network, capsys):
    """From the noise of the chain's seed, at the grey levels of the data, ten in rows of four."""
    cli.main(["sample", MODEL, "--n", "10", "--nfe", "6", "--solver", "heun", "--out", "out/grid.png"])
    ends = solve(network, noise(3, "evaluation", 0, range(10), images.dim), "heun", 3)
    expected = tile(images.to_bytes(images.quantize(ends)), 4, scale=8, gap=8)
    assert np.abs(read_png(workspace / "out/grid.png").astype(int) - expected).max() <= 16, "one grey level of 17"
    assert "10 samples" in (said := capsys.readouterr().out) and "noise of seed 3" in said


def test_the_same_command_gives_the_same_bytes_and_another_seed_others(workspace):
    def drawn(*more, name="grid.png", command="sample"):
        cli.main([command, MODEL, "--n", "5", "--nfe", "4", "--out", name, *more])
        return (workspace / name).read_bytes()

    assert drawn() == drawn() == drawn("--seed", "3") != drawn("--seed", "4")
    gifs = [drawn(*more, name="a.gif", command="animate") for more in ((), (), ("--seed", "4"))]
    assert gifs[0] == gifs[1] != gifs[2]
    assert not list(workspace.glob(".*.tmp"))


def test_the_first_samples_do_not_depend_on_how_many_are_drawn(workspace):
    model = open_model(workspace / MODEL)
    few, many = (states(model, range(n), 3, "euler", 0) for n in (5, 300))
    assert [torch.equal(a, b[:5]) for a, b in zip(few, many, strict=True)] == [True] * 4


def test_an_animation_goes_from_noise_to_image(workspace, images):
    """A frame for the noise and one for each step; the last one is the grid."""
    cli.main(["animate", MODEL, "--n", "4", "--nfe", "8", "--milliseconds", "50", "--out", "a.gif"])
    cli.main(["sample", MODEL, "--n", "4", "--nfe", "8", "--out", "grid.png"])
    with Image.open("a.gif") as file:
        frames, times = [], []
        for number in range(file.n_frames):
            file.seek(number)
            frames.append(np.array(file.convert("L")))
            times.append(file.info["duration"])
    assert len(frames) == 9 and times == [50] * 8 + [1500]
    first = tile(images.to_bytes(images.quantize(noise(3, "evaluation", 0, range(4), images.dim))), 2, scale=8, gap=8)
    assert np.array_equal(frames[0], first[:, :, 0])
    assert np.array_equal(frames[-1], read_png(workspace / "grid.png")[:, :, 0])


def test_images_of_three_channels_are_drawn_in_colour(tmp_path, images):
    colour = type(images)(images.images[:, :12], images.labels, (3, 2, 2), 256, dequantized=False)
    model = Model(lambda x, t: torch.zeros_like(x), colour, 0)
    write_grid(tmp_path / "a.png", model, 4, 2, "euler", 0)
    assert read_png(tmp_path / "a.png").shape == (2 * 32 + 16, 2 * 32 + 16, 3)
    write_animation(tmp_path / "a.gif", model, 4, 2, "euler", 0, 50)
    with Image.open(tmp_path / "a.gif") as file:
        assert file.convert("RGB").getextrema()[0] == (0, 255)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("runs/chains/rca/s3/round2/model", "`dvc repro rounds/2/dvc.yaml:rca@rca-3-2` makes it"),
        ("runs/chains/ot/s0/round4/model/", "`dvc repro rounds/4/dvc.yaml:ot@ot-0-4` makes it"),
        ("runs/chains/ocar/s0/round1/model", "`dvc checkout runs/chains/ocar/s0/round1/model` restores it"),
        ("runs/chains/ocar/s0/round0/model", "it is not in the grid of params.yaml"),
        ("runs/base/s0", "`dvc pull runs/base/s0` from a remote, and `dvc repro train_base@0` makes it"),
        (
            "runs/base/s1",
            "it is not in the grid of params.yaml: methods reflow, rca, ocar, ot; seeds 0, 3; rounds 1 to 4",
        ),
        ("runs/chains/rca/s3/round5/model", "it is not in the grid of params.yaml"),
        ("runs/chains/neon/s3/round1/model", "it is not in the grid of params.yaml"),
        ("elsewhere", "want one such as runs/base/s0 or runs/chains/METHOD/sSEED/roundROUND/model"),
    ],
)
def test_a_model_that_is_not_there(workspace, folder, message):
    said = fails("sample", folder, "--out", "grid.png")
    assert said.startswith(f"ERROR: {folder.rstrip('/')}: no such model folder; ") and message in said
    assert not (workspace / "grid.png").exists()


def test_a_model_that_is_not_there_without_parameters(workspace):
    (workspace / "params.yaml").unlink()
    assert "`dvc repro` makes those of the grid" in fails("sample", "runs/base/s0", "--out", "grid.png")


def test_images_that_are_not_there_or_of_another_shape(workspace, images):
    other = type(images)(images.images[:, :4], images.labels, (1, 2, 2), 17, dequantized=True)
    other.save(workspace / "other.safetensors")
    said = fails("sample", MODEL, "--out", "grid.png", "--data", "other.safetensors")
    assert "makes images of (1, 4, 4), other.safetensors has (1, 2, 2)" in said
    (workspace / "runs/space/train.safetensors").unlink()
    assert "`dvc repro encode` makes it" in fails("animate", MODEL, "--out", "a.gif")
    data = "runs/data/train.safetensors"
    assert "`dvc repro prepare_data` makes it" in fails("sample", MODEL, "--out", "grid.png", "--data", data)


def test_a_damaged_or_a_diverged_model(workspace):
    network, params, shape = load_model(workspace / MODEL)
    for value, message in ((3e38, "the samples are not finite"), (torch.inf, "values that are not finite in")):
        with torch.no_grad():
            network.output.bias.fill_(value)
        shutil.rmtree(workspace / MODEL)
        save_model(workspace / MODEL, network, params, shape, {}, lambda path: None)
        assert message in fails("sample", MODEL, "--out", "grid.png")
    (workspace / MODEL / "model.safetensors").write_bytes(b"?")
    assert "damaged" in fails("sample", MODEL, "--out", "grid.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", MODEL, "--out", "grid.jpg"], "--out grid.jpg: this writes .png files"),
        (["animate", MODEL, "--out", "grid.png"], "--out grid.png: this writes .gif files"),
        (
            ["sample", MODEL, "--out", "a.png", "--nfe", "5", "--solver", "rk4"],
            "NFE 5: rk4 makes 4 evaluations a step",
        ),
    ],
)
def test_arguments_that_do_not_fit(workspace, arguments, message):
    assert message in fails(*arguments)


@pytest.mark.parametrize("arguments", [["--n", "0"], ["--nfe", "-1"], ["--n", "x"]])
def test_numbers_are_whole(workspace, arguments, capsys):
    assert fails("sample", MODEL, "--out", "a.png", *arguments) == "2"
    assert "want a whole number from 1 to" in capsys.readouterr().err


def test_a_sample_does_not_depend_on_which_others_are_drawn(images, network):
    """To the bit: it is solved in one row of a block of one size. The second field is a matrix product at its worst."""

    def worst(x, t):
        return x + torch.arange(len(x))[:, None] / len(x)

    for velocity in (network, worst):
        model = Model(velocity, images, 0)
        everything = states(model, range(600), 3, "euler", 0)
        for index in ([599, 0, 300], [44, 300, 556, 44], range(250, 270), [256]):
            some = states(model, index, 3, "euler", 0)
            assert all(torch.equal(a, b[list(index)]) for a, b in zip(some, everything, strict=True))
            expected = images.to_bytes(images.quantize(everything[-1][list(index)]))
            assert np.array_equal(samples(model, index, 3, "euler", 0), expected)


def test_numbers_that_make_no_samples(workspace):
    model = open_model(workspace / MODEL)
    for index, nfe, solver, message in (
        ([0], 0, "euler", "NFE 0: euler makes 1"),
        ([0], 4, "dopri5", "solver dopri5: want one of euler, heun, rk4"),
        ([2, -1], 4, "euler", "noise -1: samples are numbered from 0"),
    ):
        with pytest.raises(ReflowbenchError, match=message):
            samples(model, index, nfe, solver, 0)
    assert samples(model, [], 4, "euler", 0).shape == (0, 4, 4, 1)
    assert [state.shape for state in states(model, [], 4, "euler", 0)] == [(0, 16)] * 5
