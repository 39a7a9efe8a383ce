import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from reflowbench.data.images import ImageSet, rgb_bytes
from reflowbench.data.png import tile, write_png
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.params import DataParams
from reflowbench.sources.load import load_images
from tests.pictures import read_png


def params(**changes):
    return DataParams(**({"source": "digits", "n_images": None, "heldout": 0.2, "dequantize": True} | changes))


def grey_levels(data):
    """Grey levels and label of each image, in the order of the set."""
    levels = torch.round((data.real + 1) * 8).int().tolist()
    return [(label, *row) for row, label in zip(levels, data.labels.tolist(), strict=True)]


def source(count=None):
    """The same of the source's first images."""
    raw = load_digits()
    return [(int(label), *map(int, row)) for row, label in zip(raw.data[:count], raw.target[:count], strict=True)]


@pytest.mark.parametrize("dequantize", [False, True])
def test_rounding_to_grey_levels_gives_the_source_back(dequantize):
    """Every image of the source with its label, once, in one of the two parts."""
    train, heldout = load_images(params(dequantize=dequantize))
    for data in (train, heldout):
        assert data.images.abs().max() <= 1 and data.dim == 64 and data.classes == 10
        assert torch.equal(data.real, torch.round((data.real + 1) * 8) / 8 - 1)
    assert sorted(grey_levels(train) + grey_levels(heldout)) == sorted(source())


def test_dequantisation_is_uniform_within_the_level_and_the_same_each_time():
    parts, again = load_images(params()), load_images(params())
    assert all(torch.equal(part.images, same.images) for part, same in zip(parts, again, strict=True))
    for data, tolerance in zip(parts, (1, 2), strict=True):  # the held-out part is a quarter of the other
        level = (data.images + 1) / 2 * 17
        fraction = level - level.floor()
        assert fraction.min() > 0 and fraction.max() < 1
        assert fraction.mean().item() == pytest.approx(0.5, abs=0.005 * tolerance)
        assert fraction.var().item() == pytest.approx(1 / 12, abs=0.002 * tolerance)


def test_the_held_out_share_is_drawn_at_random():
    """No image is in both parts, the split is the same whatever the pixels are, and no class is left out."""
    train, heldout = load_images(params())
    assert (len(train), len(heldout)) == (1438, 359)
    assert not set(grey_levels(train)) & set(grey_levels(heldout))
    plain = load_images(params(dequantize=False))
    assert all(grey_levels(a) == grey_levels(b) for a, b in zip((train, heldout), plain, strict=True))
    order = {image: row for row, image in enumerate(source())}
    rows = torch.tensor([order[image] for image in grey_levels(heldout)]).double()
    assert rows.mean() == pytest.approx(1797 / 2, abs=4 * 1797 / (12 * 359) ** 0.5)
    assert not torch.equal(rows, rows.sort().values)
    assert (heldout.labels.bincount(minlength=10) > 20).all()


def test_a_part_of_the_images():
    train, heldout = load_images(params(n_images=7))
    assert (len(train), len(heldout)) == (6, 1)
    assert sorted(grey_levels(train) + grey_levels(heldout)) == sorted(source(7))
    with pytest.raises(ReflowbenchError, match="data.n_images = 5000: the source digits has only 1797 images"):
        load_images(params(n_images=5000))


def test_an_empty_part_of_the_split_is_an_error():
    with pytest.raises(ReflowbenchError, match=r"data.heldout = 0.001: holds out 0 of 40 images; want 1 or more"):
        load_images(params(n_images=40, heldout=0.001))
    with pytest.raises(ReflowbenchError, match=r"data.heldout = 0.5: holds out 0 of 1 images; want 1 or more"):
        load_images(params(n_images=1, heldout=0.5))


def test_a_missing_data_set_names_parameter_and_remedy(monkeypatch):
    def missing():
        raise FileNotFoundError("digits.csv.gz")

    monkeypatch.setattr("sklearn.datasets.load_digits", missing)
    with pytest.raises(ReflowbenchError, match=r"data.source = 'digits'.*digits.csv.gz.*make install"):
        load_images(params())


def test_an_image_set_round_trips(tmp_path, images):
    images.save(tmp_path / "x")
    loaded = ImageSet.load(tmp_path / "x")
    assert torch.equal(loaded.images, images.images) and torch.equal(loaded.labels, images.labels)
    assert (loaded.shape, loaded.levels, loaded.dequantized) == (
        images.shape,
        images.levels,
        images.dequantized,
    )


def test_scoring_clips_what_a_model_overshoots(images):
    assert images.quantize(torch.tensor([[-3.0, 3.0]])).tolist() == [[-1.0, 1.0]]


@pytest.mark.parametrize("dequantized", [False, True])
@pytest.mark.parametrize("shape", [(1, 4, 6), (3, 4, 2)])
def test_bytes_hold_every_number_of_grey_levels(shape, dequantized):
    """To the bit, from 2 levels to 256, whether images of a model or those of the set."""
    for levels in range(2, 257):
        draw = torch.Generator().manual_seed(levels)
        images = torch.rand(12, 24, generator=draw) * 2.4 - 1.2
        data = ImageSet(images, torch.zeros(12), shape, levels, dequantized)
        values = data.to_bytes(data.real)
        assert values.shape == (12, shape[1], shape[2], shape[0]) and values.dtype == np.uint8
        assert torch.equal(data.from_bytes(values), data.real) and data.from_bytes(values).dtype == torch.float32
        every = torch.arange(levels, dtype=torch.float32) / (levels - 1) * 2 - 1
        grey = ImageSet(every[:, None], torch.zeros(levels), (1, 1, 1), levels, dequantized=False)
        assert torch.equal(grey.quantize(grey.images), grey.images)
        expected = np.floor(np.arange(levels) * 255 / (levels - 1) + 0.5)  # exact: a middle of two bytes goes up
        assert (grey.to_bytes(grey.images).ravel() == expected).all()


def test_bytes_are_laid_out_as_files_are():
    """Rows of pixels with their channels together; -1 is black; readers that want colour get grey three times."""
    colour = ImageSet(torch.arange(12.0)[None] / 255 * 2 - 1, torch.zeros(1), (3, 2, 2), 256, dequantized=False)
    assert colour.to_bytes(colour.real).tolist() == [[[[0, 4, 8], [1, 5, 9]], [[2, 6, 10], [3, 7, 11]]]]
    assert (rgb_bytes(colour.real, (3, 2, 2)) == colour.to_bytes(colour.real)).all()
    assert rgb_bytes(torch.tensor([[-1.0, 1.0]]), (1, 1, 2)).tolist() == [[[[0, 0, 0], [255, 255, 255]]]]
    with pytest.raises(ReflowbenchError, match="2 channels"):
        rgb_bytes(torch.zeros(1, 2), (2, 1, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_png_files_hold_bytes(tmp_path, channels):
    """The same file each time, and with nothing in it but pixels."""
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    write_png(tmp_path / "b.png", image)
    assert (read_png(tmp_path / "a.png") == image).all() and read_png(tmp_path / "a.png").shape == image.shape
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as file:
        assert file.info == {} and file.mode == ("L" if channels == 1 else "RGB")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_images_are_tiled_row_by_row():
    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * np.ones((1, 1, 2, 1), dtype=np.uint8)
    assert tile(images, 2)[:, :, 0].tolist() == [[0, 0, 255, 1, 1], [255] * 5, [2, 2, 255, 255, 255]]
    assert tile(images, 3, gap=0)[:, :, 0].tolist() == [[0, 0, 1, 1, 2, 2]]
    assert tile(images[2:], 1, scale=2)[:, :, 0].tolist() == [[2] * 4] * 2
    assert tile(np.zeros((5, 4, 3, 3), dtype=np.uint8), 3, scale=2, gap=4).shape == (2 * 12 - 4, 3 * 10 - 4, 3)
