"""Principal components of images: closed forms, degenerate sets, and the file that holds them."""

import pytest
import torch

from reflowbench.core.randomness import generator
from reflowbench.data.images import ImageSet
from reflowbench.data.latents import LatentSet, encoded, open_data, open_space
from reflowbench.data.packed import PackedImages
from reflowbench.data.principal import PrincipalComponents
from reflowbench.data.space import Space
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.params import LatentsParams

SHAPE = (1, 2, 3)


def params(**changes):
    return LatentsParams(**({"kind": "pca", "components": 2, "encode": "mean", "scale": 1.0, "batch": 4} | changes))


def image_set(images, levels=256, *, dequantized=False):
    return ImageSet(images.float().clamp(-1, 1), torch.arange(len(images)) % 3, SHAPE, levels, dequantized)


@pytest.fixture
def images():
    """Six pixels whose covariance has other eigenvalues than their variances."""
    draws = torch.randn(400, 6, generator=generator(0, "images"))
    mixing = torch.randn(6, 6, generator=generator(1, "images"))
    return (0.1 * draws @ mixing * torch.tensor([1.0, 0.8, 0.5, 0.3, 0.2, 0.1])).clamp(-1, 1)


@pytest.mark.parametrize("components", [2, 6])
def test_whitened_components_are_uncorrelated_with_unit_variance(images, components):
    space = PrincipalComponents.fit(images, components, whiten=True)
    z = space.encode(images, range(400), SHAPE).double()
    assert torch.allclose(z.mean(dim=0), torch.zeros(components, dtype=torch.float64), atol=1e-5)
    assert torch.allclose(torch.cov(z.T), torch.eye(components, dtype=torch.float64), atol=1e-4)
    values = torch.linalg.eigvalsh(torch.cov(images.double().T)).flip(0)
    assert space.explained == pytest.approx(float(values[:components].sum() / values.sum()))


def test_without_whitening_the_eigenvalues_keep_their_ratios(images):
    space = PrincipalComponents.fit(images, 3, whiten=False)
    variances = space.encode(images, range(400), SHAPE).double().var(dim=0)
    values = torch.linalg.eigvalsh(torch.cov(images.double().T)).flip(0)[:3]
    assert torch.allclose(variances, values / values.mean(), rtol=1e-4)


@pytest.mark.parametrize("whiten", [True, False])
def test_decoding_is_the_projection(images, whiten):
    """With all components nothing is lost; with fewer, what is lost is the variance of the others."""
    whole = PrincipalComponents.fit(images, 6, whiten=whiten)
    assert torch.allclose(whole.decode(whole.encode(images, range(400), SHAPE), SHAPE), images, atol=1e-5)
    few = PrincipalComponents.fit(images, 2, whiten=whiten)
    lost = (few.decode(few.encode(images, range(400), SHAPE), SHAPE) - images).double().square().sum() / 399
    assert float(lost) == pytest.approx((1 - few.explained) * float(torch.cov(images.double().T).trace()), rel=1e-4)


def test_an_image_does_not_depend_on_those_that_are_decoded_with_it():
    """Nor do its components: on 28x28 pixels a product of one row rounds otherwise than one of a thousand."""
    images, shape = torch.rand(1024, 784, generator=generator(0, "images")) * 2 - 1, (1, 28, 28)
    space = PrincipalComponents.fit(images, 50, whiten=True)
    z = space.encode(images, range(1024), shape)
    x = space.decode(z, shape)
    for row in (0, 7, 1000):
        assert torch.equal(space.encode(images[row : row + 1], range(row, row + 1), shape)[0], z[row])
        assert torch.equal(space.decode(z[row : row + 1], shape)[0], x[row])
    assert space.encode(images[:0], range(0), shape).shape == (0, 50) and space.decode(z[:0], shape).shape == (0, 784)


def test_more_components_extend_fewer(images):
    few, more = (PrincipalComponents.fit(images, n, whiten=True) for n in (2, 5))
    assert torch.equal(few.axes, more.axes[:2]) and torch.equal(few.spread, more.spread[:2])
    assert (few.axes.gather(1, few.axes.abs().argmax(dim=1, keepdim=True)) > 0).all()


def test_a_constant_pixel_is_decoded_as_it_is(images):
    images[:, 4] = -1.0
    space = PrincipalComponents.fit(images, 5, whiten=True)
    z = space.encode(images, range(400), SHAPE)
    assert z.abs().max() < 10
    assert torch.allclose(space.decode(z, SHAPE), images, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "components", "message"),
    [
        (lambda x: x.index_fill(1, torch.tensor([0, 3]), 0.5), 5, "vary in only 4 .*give at most 4"),
        (lambda x: x[:4], 4, "components = 4: the 4 training images of 6 values vary in only 3 directions"),
        (lambda x: x[:1], 1, "the 1 training images of 6 values vary in only 0 .*two different images"),
        (lambda x: x[:1].repeat(9, 1), 1, "vary in only 0 directions"),
        (lambda x: x, 7, "latents.components = 7: .* give at most 6"),
    ],
)  # fmt: skip
def test_too_many_components_are_refused(images, change, components, message):
    """Constant pixels, fewer images than components, one image, copies of one, fewer pixels than components."""
    with pytest.raises(ReflowbenchError, match=message):
        PrincipalComponents.fit(change(images), components, whiten=True)


def test_images_too_large_for_a_covariance_are_refused():
    with pytest.raises(ReflowbenchError, match="latents.kind = pca: images of 12289 values are too large"):
        PrincipalComponents.fit(torch.zeros(2, 12289), 1, whiten=True)


@pytest.mark.parametrize(("levels", "dequantized"), [(256, False), (17, False), (17, True)])
def test_the_file_holds_the_space_and_has_the_same_bytes_twice(images, tmp_path, levels, dequantized):
    data = image_set(images, levels, dequantized=dequantized)
    for name in ("a", "b"):
        encoded(data, params()).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = open_data(tmp_path / "a", params())
    assert isinstance(loaded, LatentSet) and loaded.shape == (2, 1, 1) and loaded.image_shape == SHAPE
    assert torch.equal(loaded.real, loaded.images) and len(loaded) == 400
    space = open_space(tmp_path / "a", params())
    assert torch.equal(space.encode(data.images, range(400), SHAPE), loaded.images)
    assert (loaded.to_bytes(loaded.images) == data.to_bytes(data.quantize(space.decode(loaded.images, SHAPE)))).all()


def test_the_file_of_another_space_is_refused(images, tmp_path):
    encoded(image_set(images), params()).save(tmp_path / "a")
    with pytest.raises(ReflowbenchError, match="a: not 3 principal components; run `dvc repro encode_latents`"):
        open_space(tmp_path / "a", params(components=3))
    assert open_space(tmp_path / "missing", params(kind="none", components=None)) is None


def test_packed_images_have_the_space_of_their_values():
    levels = torch.randint(256, (50, 6), dtype=torch.uint8, generator=generator(0, "levels"))
    packed = PackedImages(levels, 256)
    first, second = (PrincipalComponents.fit(x, 3, whiten=True) for x in (packed, packed[:]))
    assert torch.equal(first.axes, second.axes) and torch.equal(first.mean, second.mean)


def test_reconstructions_are_what_the_decoder_makes_of_the_training_images(images):
    data = image_set(images)
    codec = encoded(data, params()).codec
    found = Space(data, codec).reconstructions
    expected = data.quantize(codec.decode(codec.encode(data.images, range(400), SHAPE), SHAPE))
    assert torch.allclose(found[:], expected, atol=1e-6)
    assert Space(data).reconstructions is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": None}, "kind is pca: give latents.components"),
        ({"kind": "none"}, "components is given, but kind is none"),
        ({"path": "vae"}, "path is given, but kind is pca"),
        ({"kind": "autoencoder", "components": None}, "kind is autoencoder: give latents.path"),
    ],
)
def test_the_keys_of_another_kind_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        params(**changes)
