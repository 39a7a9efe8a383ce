import pytest
import torch
from sklearn.datasets import load_digits

from reflowbench.core.config import DataParams
from reflowbench.core.data.images import ImageSet
from reflowbench.core.data.sources import load_images
from reflowbench.core.errors import ReflowbenchError


def params(**changes):
    return DataParams(**({"source": "digits", "n_train": None, "dequantize": True} | changes))


@pytest.mark.parametrize("dequantize", [False, True])
def test_rounding_to_grey_levels_gives_the_source_back(dequantize):
    data = load_images(params(dequantize=dequantize))
    raw = load_digits()
    assert data.images.abs().max() <= 1 and data.dim == 64 and data.classes == 10
    assert torch.equal(torch.round((data.real + 1) * 8).double(), torch.from_numpy(raw.data))
    assert data.labels.tolist() == raw.target.tolist()


def test_dequantisation_is_uniform_within_the_level_and_the_same_each_time():
    data, again = load_images(params()), load_images(params())
    assert torch.equal(data.images, again.images)
    level = (data.images + 1) / 2 * 17
    fraction = level - level.floor()
    assert fraction.min() > 0 and fraction.max() < 1
    assert fraction.mean().item() == pytest.approx(0.5, abs=0.005)
    assert fraction.var().item() == pytest.approx(1 / 12, abs=0.002)


def test_a_part_of_the_images():
    assert torch.equal(load_images(params(n_train=7)).real, load_images(params()).real[:7])
    with pytest.raises(ReflowbenchError, match="data.n_train = 5000: the source digits has only 1797 images"):
        load_images(params(n_train=5000))


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
