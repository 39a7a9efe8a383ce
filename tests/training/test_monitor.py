"""The monitor: what it writes is of the model at that step, and watching changes nothing."""

import csv
import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from reflowbench.core.randomness import noise
from reflowbench.couplings.shared.base import Coupling
from reflowbench.couplings.shared.independent import Independent
from reflowbench.errors import ReflowbenchError
from reflowbench.networks import registry
from reflowbench.runtime.params import MonitorParams
from reflowbench.training.guard import Step
from reflowbench.training.loop import Trainer
from reflowbench.training.monitor import CURVES, SAMPLES, Monitor
from tests.conftest import NETWORK, SHAPE, round_params
from tests.couplings.methods import make
from tests.pictures import read_png

PARAMS = MonitorParams(every=3, n_samples=40, nfe=2, grid_images=5)
NAMES = ["step", "loss", "gradient_norm", "frechet_distance_pixels", "variance_ratio"]


def trainer_of(network, coupling, seed=5, round_=2, **changes):
    fresh = registry.build(NETWORK, SHAPE, seed=0)
    fresh.load_state_dict({name: value.clone() for name, value in network.state_dict().items()})
    return Trainer(fresh, coupling, round_params(**changes), seed, round_, path="round")


class Still:
    """A run of a model that stays as it is; the loss of step i is i, the gradient's norm its square."""

    def __init__(self, velocity, steps=4):
        self.ema, self.steps = velocity, [Step(i, float(i), float(i * i), 0.1) for i in range(steps)]

    def __len__(self):
        return len(self.steps)

    def __iter__(self):
        return iter(self.steps)


def curves(folder):
    with (folder / CURVES).open(newline="") as file:
        found = list(csv.DictReader(file))
    assert all(list(row) == NAMES for row in found)
    return found


def watched(trainer, images, folder, seed=5, **changes):
    """Run to the end; gives the curves and the grid."""
    assert len(list(Monitor(trainer, images, PARAMS.model_copy(update=changes), seed, folder))) == len(trainer)
    return curves(folder), read_png(folder / SAMPLES)


def distance(samples, real):
    """Frechet's, by the textbook."""
    a, b = (np.cov(rows, rowvar=False) for rows in (samples, real))
    difference = samples.mean(axis=0) - real.mean(axis=0)
    return difference @ difference + np.trace(a + b - 2 * sqrtm(a @ b).real)


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [(8, 3, [0, 3, 6, 8]), (8, 4, [0, 4, 8]), (8, 100, [0, 8]), (1, 1, [0, 1]), (3, 1, [0, 1, 2, 3])],
)
def test_it_looks_before_every_so_often_and_at_the_end(images, tmp_path, steps, every, expected):
    rows, _ = watched(Still(lambda x, t: 0 * x, steps), images, tmp_path, every=every)
    assert [int(row["step"]) for row in rows] == expected


def test_losses_are_means_since_the_last_look(images, tmp_path):
    rows, _ = watched(Still(lambda x, t: 0 * x, 8), images, tmp_path)
    assert [row["loss"] for row in rows] == ["", "1", "4", "6.5"]
    assert [float(row["gradient_norm"]) for row in rows[1:]] == pytest.approx([5 / 3, 50 / 3, 42.5])


def test_a_model_that_draws_the_real_images_is_at_distance_zero(images, tmp_path):
    """And half of them around their mean: a quarter of the variance, and tr C / 4 away."""
    z = noise(5, "monitor", 0, range(40), images.dim)
    middle = images.real.mean(dim=0)
    for scale in (1.0, 0.5):
        goal = torch.zeros(256, 16)
        goal[:40] = middle + scale * (images.real - middle) - z
        fine = images if scale == 1 else FineImages(images)
        [row, _], _ = watched(Still(lambda x, t, v=goal: v, 1), fine, tmp_path)
        trace = np.trace(np.cov(images.real.double().numpy(), rowvar=False))
        assert float(row["variance_ratio"]) == pytest.approx(scale**2, rel=1e-4)
        assert float(row["frechet_distance_pixels"]) == pytest.approx((1 - scale) ** 2 * trace, abs=2e-4 * trace)


class FineImages:
    """An image set that does not round samples."""

    def __init__(self, images):
        self.images = images

    def __getattr__(self, name):
        return getattr(self.images, name)

    def quantize(self, images):
        return images


def test_the_curves_are_those_of_the_averaged_weights_at_that_step(network, images, inputs, tmp_path):
    """Made again while the run stands still: Euler by hand, the distance by the textbook."""
    trainer = trainer_of(network, make("reflow", inputs), ema=0.5)
    z = noise(5, "monitor", 0, range(40), images.dim)
    expected, since = [], []

    def look():
        x = z.clone()
        with torch.no_grad():
            for i in range(2):
                x = x + trainer.ema(x, torch.tensor([i / 2])) / 2
        x = images.quantize(x).double().numpy()
        real = images.real.double().numpy()
        ratio = x.var(axis=0, ddof=1).sum() / real.var(axis=0, ddof=1).sum()
        mean = [np.mean([getattr(s, name) for s in since]) if since else math.nan for name in ("loss", "gradient_norm")]
        return [*mean, distance(x, real), ratio]

    expected.append(look())
    for step in Monitor(trainer, images, PARAMS, 5, tmp_path):
        since.append(step)
        if step.number + 1 in (3, 6, 8):
            expected.append(look())
            since = []
    found = [[float(row[name] or "nan") for name in NAMES[1:]] for row in curves(tmp_path)]
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    assert len({row[2] for row in found}) == 4, "the model changes"


def test_the_grid_has_a_row_for_each_look_and_a_column_for_each_noise(images, tmp_path):
    """Images of 4 x 4 pixels are enlarged eight times, with as much between them."""
    velocity = torch.linspace(-1, 1, 16)
    for grid_images in (1, 5):
        rows, grid = watched(Still(lambda x, t: velocity), images, tmp_path, grid_images=grid_images)
        assert grid.shape == (len(rows) * 40 - 8, grid_images * 40 - 8, 1)
    z = noise(5, "monitor", 0, range(40), images.dim)
    bytes_ = images.to_bytes(images.quantize(z + velocity))
    for row in range(len(rows)):
        for column in range(5):
            tile = grid[row * 40 : row * 40 + 32, column * 40 : column * 40 + 32]
            assert (tile[::8, ::8] == bytes_[column]).all() and (tile == tile[::8, ::8].repeat(8, 0).repeat(8, 1)).all()
    assert (grid[32:40] == 255).all() and (grid[:, 32:40] == 255).all()


def test_the_noise_is_the_same_whatever_the_method_and_the_round(network, images, inputs, tmp_path):
    first = {}
    for name, coupling, round_ in (
        ("reflow", make("reflow", inputs), 2),
        ("ocar", make("ocar", inputs, replay=1), 2),
        ("base", Independent(inputs), 0),
    ):
        rows, grid = watched(trainer_of(network, coupling, round_=round_), images, tmp_path / name)
        first[name] = rows[0], grid[:32].tobytes()
        last = rows[-1], grid[-32:].tobytes()
        assert last[1] != first[name][1]
    assert first["reflow"] == first["ocar"] == first["base"]
    other, grid = watched(trainer_of(network, Independent(inputs)), images, tmp_path / "seed", seed=6)
    assert other[0] != first["base"][0] and grid[:32].tobytes() != first["base"][1]


@pytest.mark.parametrize("method", ["reflow", "rca", "ocar", "neon"])
def test_watching_changes_no_byte_of_the_model(network, images, inputs, tmp_path, method):
    facts, files = [], []
    for watch in (False, True):
        torch.manual_seed(0)
        trainer = trainer_of(network, make(method, inputs))
        steps = list(Monitor(trainer, images, PARAMS, 5, tmp_path / "plots") if watch else trainer)
        registry.save(tmp_path / str(watch), trainer.ema, NETWORK, SHAPE)
        files.append((tmp_path / str(watch)).read_bytes())
        facts.append((steps, trainer.facts(), torch.rand(1)))
    assert files[0] == files[1] and facts[0] == facts[1]


def test_the_files_are_the_same_bytes_each_time(network, images, inputs, tmp_path):
    for name in ("first", "again"):
        torch.manual_seed(len(name))
        watched(trainer_of(network, make("rca", inputs)), images, tmp_path / name)
    for file in (CURVES, SAMPLES):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_the_files_are_there_and_whole_while_it_runs(network, images, inputs, tmp_path):
    folder = tmp_path / "plots"
    looks, seen = [0, 3, 6, 8], []
    for step in Monitor(trainer_of(network, make("reflow", inputs)), images, PARAMS, 5, folder):
        done = [look for look in looks if look <= step.number + 1]
        assert [int(row["step"]) for row in curves(folder)] == done
        assert len(read_png(folder / SAMPLES)) == len(done) * 40 - 8
        assert {path.name for path in folder.iterdir()} == {CURVES, SAMPLES}
        seen.append(step.number)
    assert seen == list(range(8))


def test_what_another_run_left_is_removed(images, tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/old.csv").write_text("old")
    watched(Still(lambda x, t: 0 * x), images, tmp_path / "plots")
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {CURVES, SAMPLES}


@pytest.mark.parametrize(("first", "second"), [(math.nan, math.nan), (math.inf, -math.inf), (math.inf, math.inf)])
def test_a_diverged_model_has_empty_values_and_black_images(images, tmp_path, first, second):
    """One pixel that is not finite is enough: not a number, or infinite, which rounding would make white."""

    def velocity(x, t):
        moved = torch.zeros_like(x)
        moved[3, 0] = first if t == 0 else second
        return moved

    rows, grid = watched(Still(velocity), images, tmp_path)
    assert all(row["frechet_distance_pixels"] == row["variance_ratio"] == "" for row in rows)
    assert [row["loss"] for row in rows] == ["", "1", "3"]
    assert (grid[:8, 120:128] == 0).all() and grid[:32, :32].max() > 0


def test_a_run_that_diverges_leaves_what_was_seen(network, images, inputs, tmp_path):
    class Breaks(Coupling):
        def batch(self, step, networks):
            x = torch.ones(4, 16)
            return x, x * (math.nan if step == 4 else 1)

    with pytest.raises(ReflowbenchError, match="diverged in round 2 at step 4"):
        watched(trainer_of(network, Breaks()), images, tmp_path)
    assert [row["step"] for row in curves(tmp_path)] == ["0", "3"]
