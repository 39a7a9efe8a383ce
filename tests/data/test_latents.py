"""Latents of a small autoencoder with random weights, saved as diffusers saves it."""

import json

import pytest
import torch

from reflowbench.data.images import ImageSet
from reflowbench.data.latents import CONFIG, WEIGHTS, Codec, LatentSet, encoded, folder_digest, open_data
from reflowbench.data.packed import PackedImages
from reflowbench.data.space import Space
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import read_tensors, write_tensors
from reflowbench.runtime.params import LatentsParams
from tests.data.autoencoder import save_autoencoder

SHAPE = (3, 8, 8)


def params(folder, **changes):
    sha256 = changes.pop("sha256", None) or folder_digest(folder)
    return LatentsParams(
        **(
            {"kind": "autoencoder", "path": str(folder), "sha256": sha256, "encode": "mean", "scale": 0.5, "batch": 4}
            | changes
        )
    )


def unpinned(folder):
    return LatentsParams(kind="autoencoder", path=str(folder), encode="mean", scale=0.5, batch=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_autoencoder(tmp_path_factory.mktemp("vae") / "vae")


@pytest.fixture
def data():
    levels = torch.randint(256, (10, 192), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet(PackedImages(levels, 256), torch.arange(10) % 3, SHAPE, 256, False)


def test_latents_are_the_encoders_mean_times_the_scale(folder, data):
    from diffusers import AutoencoderKL

    codec = Codec(params(folder))
    network = AutoencoderKL.from_pretrained(str(folder), use_safetensors=True).eval()
    with torch.no_grad():
        expected = network.encode(data.images[:].reshape(-1, *SHAPE)).latent_dist.mean.flatten(1) * 0.5
    found = codec.encode(data.images[:], range(10), SHAPE)
    assert codec.shape_of(SHAPE) == (4, 4, 4) and codec.dim_of(SHAPE) == 64
    assert torch.allclose(found, expected, atol=1e-5) and found.dtype == torch.float32
    with torch.no_grad():
        images = network.decode(expected.reshape(-1, 4, 4, 4) / 0.5).sample.flatten(1)
    assert torch.allclose(codec.decode(found, SHAPE), images, atol=1e-4)


def test_latents_do_not_depend_on_how_many_are_encoded_at_a_time_or_on_the_generator(folder, data):
    for encode in ("mean", "sample"):
        codec = Codec(params(folder, encode=encode))
        state = torch.get_rng_state()
        whole = codec.encode(data.images[:], range(10), SHAPE)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(codec.encode(data.images[4:7], range(4, 7), SHAPE), whole[4:7])
        assert torch.equal(codec.decode(whole[2:3], SHAPE), codec.decode(whole, SHAPE)[2:3])


def test_sampled_latents_have_the_encoders_law(folder, data):
    image = data.images[:1].repeat(4000, 1)
    draws = Codec(params(folder, encode="sample", batch=500)).encode(image, range(4000), SHAPE)
    mean = Codec(params(folder)).encode(image[:1], range(1), SHAPE)
    spread = draws.std(dim=0)
    assert spread.min() > 0 and ((draws.mean(dim=0) - mean[0]).abs() < 5 * spread / 4000**0.5).all()


def test_a_set_of_latents_round_trips_and_is_not_clipped(folder, data, tmp_path):
    codec = Codec(params(folder, scale=50.0))
    latents = encoded(data, params(folder, scale=50.0))
    latents.save(tmp_path / "latents")
    loaded = open_data(tmp_path / "latents", params(folder, scale=50.0))
    assert isinstance(loaded, LatentSet) and (loaded.shape, loaded.image_shape) == ((4, 4, 4), SHAPE)
    assert torch.equal(loaded.images, codec.encode(data.images[:], range(10), SHAPE)) and loaded.dim == 64
    assert loaded.images.abs().max() > 1 and torch.equal(loaded.labels, data.labels)
    assert torch.equal(loaded.quantize(loaded.images * 3), loaded.images * 3)
    shown = loaded.to_bytes(loaded.images)
    assert shown.shape == (10, 8, 8, 3)
    decoded = data.quantize(codec.decode(loaded.images, SHAPE))
    assert (shown == data.to_bytes(decoded)).all()
    with pytest.raises(ReflowbenchError, match="an autoencoder's latents: name what decodes them by latents.kind"):
        open_data(tmp_path / "latents").to_bytes(loaded.images)


def test_a_set_of_images_is_opened_as_one(data, tmp_path):
    data.save(tmp_path / "images")
    assert torch.equal(open_data(tmp_path / "images").images[:], data.images[:])


@pytest.mark.parametrize(
    "change",
    [{"latents": torch.zeros(9, 64)}, {"latents": torch.full((10, 64), torch.inf)}, {"labels": torch.zeros(0)}],
)
def test_damaged_latents_are_named(tmp_path, change):
    tensors = {"latents": torch.zeros(10, 64), "labels": torch.zeros(10, dtype=torch.int64)}
    facts = {"shape": [4, 4, 4], "levels": 256, "dequantized": False, "latents_of": [3, 8, 8]}
    write_tensors(tmp_path / "x", tensors, facts)
    assert len(open_data(tmp_path / "x")) == 10 and read_tensors(tmp_path / "x")[1] == facts
    write_tensors(tmp_path / "x", tensors | change, facts)
    with pytest.raises(ReflowbenchError, match="x: not a set of latents"):
        open_data(tmp_path / "x")


def test_the_space_of_latents_is_seen_from_the_images(folder, data):
    space, pixels = Space(data, Codec(params(folder))), Space(data)
    assert (space.dim, pixels.dim) == (64, 192)
    latents = space.real(3)
    assert latents.shape == (3, 64) and torch.equal(pixels.real(3), data.images[:3])
    images = space.images(latents)
    assert torch.equal(images, data.quantize(images)) and images.shape == (3, 192)


def test_an_autoencoder_is_pinned_and_never_fetched(tmp_path):
    with pytest.raises(ReflowbenchError, match=r"latents.path = .*cannot read config.json .*nothing is downloaded"):
        Codec(unpinned(tmp_path / "none"))
    (tmp_path / CONFIG).write_text(json.dumps({"latent_channels": 4, "block_out_channels": [8, 8]}))
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    found = folder_digest(tmp_path)
    with pytest.raises(ReflowbenchError, match=f"latents.sha256 = null: want the checksum .* found {found}"):
        Codec(unpinned(tmp_path))
    codec = Codec(params(tmp_path, sha256=found))
    assert codec.shape_of((3, 8, 6)) == (4, 4, 3) and codec.shape_of((1, 8, 6)) == (4, 4, 3)
    for shape in ((3, 7, 8), (2, 8, 8)):
        with pytest.raises(ReflowbenchError, match="encodes images of 3 channels whose sides are multiples of 2"):
            codec.shape_of(shape)
    (tmp_path / CONFIG).write_text("[]")
    with pytest.raises(ReflowbenchError, match="not that of an AutoencoderKL"):
        Codec(params(tmp_path))


def test_files_that_are_no_autoencoder_are_named(tmp_path):
    (tmp_path / CONFIG).write_text(json.dumps({"latent_channels": 4, "block_out_channels": [8, 8]}))
    (tmp_path / WEIGHTS).write_bytes(b"not safetensors")
    codec = Codec(params(tmp_path))
    with pytest.raises(ReflowbenchError, match="not an AutoencoderKL of diffusers"):
        codec.encode(torch.zeros(1, 192), range(1), SHAPE)


def test_without_its_package_the_extra_is_named(tmp_path, monkeypatch):
    import sys

    (tmp_path / CONFIG).write_text(json.dumps({"latent_channels": 4, "block_out_channels": [8, 8]}))
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    codec = Codec(params(tmp_path))
    with pytest.raises(ReflowbenchError, match=r"optional package diffusers, .*pip install -e '.\[latents\]'"):
        codec.decode(torch.zeros(1, 64), SHAPE)
