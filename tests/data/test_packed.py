"""Images in a byte a value are the images: to the bit, wherever rows of them are read."""

import pytest
import torch

from reflowbench.core.gaussians import fit
from reflowbench.couplings.shared.base import Inputs
from reflowbench.couplings.shared.independent import Independent, mirrored
from reflowbench.data.blocks import in_blocks
from reflowbench.data.images import ImageSet
from reflowbench.data.packed import PackedImages, select
from reflowbench.data.streamed import MOST_VALUES, fit_pixels, pixels
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import read_tensors, write_tensors

SHAPE = (3, 4, 6)


def packed(n=50, dequantized=False, count=256):
    draw = torch.Generator().manual_seed(0)
    levels = torch.randint(count, (n, 72), generator=draw, dtype=torch.uint8)
    spread = torch.randint(256, (n, 72), generator=draw, dtype=torch.uint8) if dequantized else None
    return PackedImages(levels, count, spread)


def image_set(dequantized=False, n=50):
    return ImageSet(packed(n, dequantized), torch.arange(n) % 5, SHAPE, 256, dequantized)


@pytest.mark.parametrize("dequantized", [False, True])
def test_packed_images_are_those_in_float32(dequantized):
    """The formulas of the scaling, in the precision of the scaling; rounded to levels they are the bytes."""
    images = packed(dequantized=dequantized)
    level = images.levels.float()
    expected = (level + (images.spread + 0.5) / 256) / 256 * 2 - 1 if dequantized else level / 255 * 2 - 1
    index = torch.tensor([7, 0, 7, 49])
    assert torch.equal(images[:], expected) and torch.equal(images[index], expected[index])
    assert torch.equal(images[5:9], expected[5:9]) and images.shape == expected.shape and len(images) == 50
    assert images[:].abs().max() <= 1 and images[:].dtype == torch.float32
    data = image_set(dequantized)
    assert torch.equal(data.real[:], data.quantize(expected)) and torch.equal(data.real[:], level / 255 * 2 - 1)
    assert torch.equal(select(images, index)[:], expected[index]) and isinstance(select(images, index), PackedImages)
    assert data.real.levels.data_ptr() == data.images.levels.data_ptr(), "the reference costs no second copy"


@pytest.mark.parametrize("count", [2, 17, 100, 256])
@pytest.mark.parametrize("dequantized", [False, True])
def test_packing_loses_nothing_at_any_number_of_levels(count, dequantized):
    data = ImageSet(torch.zeros(1, 72), torch.zeros(1, dtype=torch.int64), SHAPE, count, dequantized)
    images = data.quantize(torch.randn(40, 72, generator=torch.Generator().manual_seed(count)))
    assert torch.equal(data.pack(images)[:], images)


@pytest.mark.parametrize("dequantized", [False, True])
def test_a_packed_set_round_trips_in_a_byte_a_value(tmp_path, dequantized):
    data = image_set(dequantized, n=500)
    data.save(tmp_path / "x")
    loaded = ImageSet.load(tmp_path / "x")
    assert torch.equal(loaded.images[:], data.images[:]) and torch.equal(loaded.labels, data.labels)
    assert (loaded.shape, loaded.levels, loaded.dequantized) == (SHAPE, 256, dequantized)
    assert (tmp_path / "x").stat().st_size < 500 * (72 * (1 + dequantized) + 8) + 1000


@pytest.mark.parametrize(
    "change",
    [
        {"levels": torch.zeros(50, 72)},
        {"levels": torch.zeros(49, 72, dtype=torch.uint8)},
        {"spread": torch.zeros(50, 72, dtype=torch.uint8)},
        {"labels": torch.full((50,), -1)},
    ],
)
def test_packed_sets_of_other_types_and_shapes_are_refused(tmp_path, change):
    image_set().save(tmp_path / "x")
    tensors, facts = read_tensors(tmp_path / "x")
    write_tensors(tmp_path / "x", tensors | change, facts)
    with pytest.raises(ReflowbenchError, match=r"x: .*delete it and run `dvc repro`"):
        ImageSet.load(tmp_path / "x")
    write_tensors(tmp_path / "x", tensors, facts | {"levels": 17})
    with pytest.raises(ReflowbenchError, match="only 256 are saved so"):
        ImageSet.load(tmp_path / "x")


def test_blocks_of_packed_images_are_those_of_the_images():
    images = packed(70)
    for (ours, n), (theirs, m) in zip(in_blocks(images, 32), in_blocks(images[:], 32), strict=True):
        assert torch.equal(ours, theirs) and n == m


def test_moments_of_pixels_are_the_same_bits_however_they_are_read():
    images = packed(5000)
    whole = fit(images[:].double().numpy())
    rows = torch.randperm(5000, generator=torch.Generator().manual_seed(1)).numpy()
    for found, expected in (
        (fit_pixels(images, SHAPE), whole),
        (fit_pixels(images[:], SHAPE), whole),
        (fit_pixels(images, SHAPE, rows), fit(images[:].double().numpy()[rows])),
    ):
        assert (found.mean == expected.mean).all() and (found.covariance == expected.covariance).all()


def test_large_images_are_averaged_over_squares_and_others_are_left_alone():
    x = torch.rand(3, 3 * 64 * 64, generator=torch.Generator().manual_seed(0))
    small = pixels(x, (3, 64, 64))
    assert small.shape == (3, 3 * 32 * 32) and small.shape[1] <= MOST_VALUES < x.shape[1]
    squares = x.double().reshape(3, 3, 32, 2, 32, 2).mean(dim=(3, 5)).flatten(1)
    assert torch.allclose(torch.from_numpy(small), squares, atol=1e-12)
    assert (pixels(x[:, :3072], (3, 32, 32)) == x[:, :3072].double().numpy()).all()


def test_mirrored_images_are_mirrored_left_to_right():
    x = torch.arange(2 * 72.0).reshape(2, 72)
    for image, turned in zip(x.reshape(2, *SHAPE), mirrored(x, SHAPE).reshape(2, *SHAPE), strict=True):
        assert all(torch.equal(turned[:, :, i], image[:, :, 5 - i]) for i in range(6))
    assert torch.equal(mirrored(mirrored(x, SHAPE), SHAPE), x)


def test_flipping_turns_half_of_the_images_by_the_step_and_nothing_else():
    inputs = Inputs(seed=3, round=0, batch=400, steps=5, images=image_set())
    plain, flipping, again = Independent(inputs), Independent(inputs, flip=True), Independent(inputs, flip=True)
    turned = []
    for step in range(5):
        (x0, x1), (z0, z1), (_, same) = (c.batch(step, None) for c in (plain, flipping, again))
        assert torch.equal(x0, z0) and torch.equal(z1, same)
        kept, flipped = (z1 == x1).all(dim=1), (z1 == mirrored(x1, SHAPE)).all(dim=1)
        assert (kept | flipped).all()
        turned.append((flipped & ~kept).tolist())
    assert sum(map(sum, turned)) == pytest.approx(1000, abs=100) and turned[0] != turned[1]
