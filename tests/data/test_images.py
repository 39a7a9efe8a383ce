import pytest
import torch
from sklearn.datasets import load_digits

from reflowbench.core.data.images import ImageSet
from reflowbench.core.data.sources import load_images
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.params import DataParams


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
