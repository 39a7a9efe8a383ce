"""Real images that are damaged in known ways: what the damages preserve, and what every metric makes of them."""

import dataclasses
import math

import pytest
import torch

from reflowbench.controls.damage import control as protocol
from reflowbench.controls.damage import damages, expected, report
from reflowbench.controls.damage.control import MARGIN, Change, DamageControl
from reflowbench.controls.damage.damages import DAMAGES, DamageParams
from reflowbench.controls.damage.expected import EXPECTED, ROWS
from reflowbench.errors import ReflowbenchError
from reflowbench.metrics.features.classifier import ClassifierTraining
from reflowbench.results.statistics import Interval
from reflowbench.runtime.config import load_params, parse, read_yaml
from reflowbench.sources.load import load_images
from tests.conftest import ROOT

PARAMS = parse(DamageParams, read_yaml(ROOT / "controls/params.yaml")["damage"], "damage.")
SMALL = PARAMS.model_copy(update={"n_reference": 12, "n_heldout": 8, "n_samples": 8})


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def rows_of(samples, pool):
    """Row of the pool that each sample is; each must be one."""
    same = (samples[:, None] == pool[None]).all(dim=2)
    assert (same.sum(dim=1) == 1).all()
    return same.int().argmax(dim=1)


def test_splits_are_disjoint_and_hold_every_image_once(images):
    for number in (0, 1):
        parts = damages.split(images, SMALL, number)
        assert [len(part) for part in (parts.reference, parts.heldout, parts.spare)] == [12, 8, 20]
        together = torch.cat([part.images for part in (parts.reference, parts.heldout, parts.spare)])
        rows = rows_of(together, images.images)
        assert sorted(rows.tolist()) == list(range(40))
        labels = torch.cat([part.labels for part in (parts.reference, parts.heldout, parts.spare)])
        assert torch.equal(labels, images.labels[rows])
    other = damages.split(images, SMALL, 0).spare
    assert not torch.equal(other.images, damages.split(images, SMALL, 1).spare.images)
    assert torch.equal(other.images, damages.split(images, SMALL, 0).spare.images)


def test_too_few_images_are_refused(images):
    with pytest.raises(ReflowbenchError, match=r"damage\.n_reference \+ n_heldout = 20 of 40 images"):
        damages.split(images, SMALL.model_copy(update={"n_samples": 11}), 0)
    with pytest.raises(ReflowbenchError, match=r"damage\.n_samples = 21: only 20 images"):
        damages.of_classes(images, torch.tensor([0, 1]), 0.0, 21)


@pytest.mark.parametrize(("minor", "few"), [(0.0, 0), (0.25, 4)])
def test_lost_classes_are_different_images_of_the_right_classes(images, minor, few):
    samples = damages.of_classes(images, torch.tensor([1, 2]), minor, 16)
    rows = rows_of(samples, images.images)
    assert len(set(rows.tolist())) == 16 and rows.tolist() == sorted(rows.tolist())
    assert (~torch.isin(images.labels[rows], torch.tensor([1, 2]))).sum() == few


def test_duplicates_are_copies_of_the_first_images(images):
    samples = damages.duplicate(images.images[:24], 8, 0.0, draw())
    assert samples.shape == (24, 16)
    assert rows_of(samples, images.images).bincount().tolist() == [8, 8, 8]
    assert damages.duplicate(images.images[:10], 8, 0.0, draw()).unique(dim=0).shape == (2, 16)
    near = damages.duplicate(images.images[:24], 8, 0.01, draw())
    assert len(near.unique(dim=0)) == 24 and 0 < (near - samples).abs().max() < 0.06


def test_shrinking_scales_the_covariance_and_keeps_the_centres(images):
    x, labels = images.images.double(), images.labels
    for centres in (x.mean(dim=0), damages.class_means(x, labels)):
        y = damages.shrink(x, centres, 0.5)
        assert torch.allclose(y - centres, 0.5 * (x - centres))
        assert torch.allclose(y.mean(dim=0), x.mean(dim=0))
    assert torch.allclose(damages.shrink(x, x.mean(dim=0), 0.5).T.cov(), 0.25 * x.T.cov())
    means = damages.class_means(x, labels)
    for label in range(4):
        assert torch.allclose(means[labels == label], x[labels == label].mean(dim=0).expand(10, -1))
    some = labels % 2 == 1  # classes 0 and 2 are absent
    assert torch.allclose(damages.class_means(x[some], labels[some]), means[some])


def test_blur_keeps_constants_and_the_mean_and_mixes_neighbours():
    shape = (2, 5, 6)
    x = torch.randn(7, 60, generator=draw(), dtype=torch.float64)
    y = damages.blur(x, shape, 0.2)
    assert torch.allclose(y.reshape(7, 2, 30).mean(dim=2), x.reshape(7, 2, 30).mean(dim=2))  # of each channel
    assert (y.var(dim=1) < x.var(dim=1)).all()
    constant = torch.full((1, 60), 0.3, dtype=torch.float64)
    assert torch.allclose(damages.blur(constant, shape, 0.2), constant)
    point = torch.zeros(1, 2, 5, 6, dtype=torch.float64)
    point[0, 1, 2, 3] = 1
    spread = damages.blur(point.reshape(1, -1), shape, 0.2).reshape(2, 5, 6)
    kernel = torch.tensor([0.2, 0.6, 0.2], dtype=torch.float64)
    assert torch.allclose(spread[1, 1:4, 2:5], torch.outer(kernel, kernel))
    assert spread[0].abs().max() == 0 and spread.sum() == pytest.approx(1)
    flat = damages.blur(x.reshape(7, 60), (1, 6, 10), 0.0)
    assert torch.equal(flat, x)


def test_noise_has_its_standard_deviation_and_its_own_randomness():
    x = torch.zeros(400, 100)
    y = damages.add_noise(x, 0.3, draw())
    assert y.std().item() == pytest.approx(0.3, rel=0.02) and abs(y.mean().item()) < 0.01
    assert torch.equal(y, damages.add_noise(x, 0.3, draw())) and not torch.equal(y, damages.add_noise(x, 0.3, draw(1)))


def test_every_damage_gives_as_many_images_and_says_where_they_come_from(images):
    parts = damages.split(images, SMALL, 0)
    x = parts.spare.images[:8]
    before = x.clone()
    made = {name: make(parts, x, SMALL, draw()) for name, make in DAMAGES.items()}
    assert all(samples.shape == x.shape for samples in made.values()) and torch.equal(x, before)
    rows_of(made["memorised"], parts.reference.images)
    for name in ("none", "classes_dropped", "imbalanced", "duplicated"):
        rows_of(made[name], parts.spare.images)
    assert not torch.isin(rows_of(made["none"], parts.spare.images), torch.arange(8)).any()


def change(mean, half_width=0.1, spread=0.5, name="blurred", row=("recall", "pixels")):
    return Change(name, row, 1.0, spread, Interval(mean, half_width, 16))


def test_a_metric_moves_beyond_its_interval_and_the_spread_of_real_images():
    assert MARGIN == 1
    moved = {mean: change(mean).moved for mean in (-0.6, -0.4, 0.4, 0.6)}
    assert moved == {-0.6: "down", -0.4: "same", 0.4: "same", 0.6: "up"}
    assert change(0.6, half_width=0.7).moved == "same"
    assert change(5.0, half_width=0.0, spread=0.0).moved == "up" and change(0.0, 0.0, 0.0).moved == "same"
    verdicts = [change(mean).verdict for mean in (-0.6, 0.0, 0.6)]
    assert EXPECTED["blurred"]["recall", "pixels"] == "down"
    assert verdicts == ["as expected", "not as expected", "not as expected"]
    unsure = next(row for row in ROWS if EXPECTED["noisy"][row] == "any")
    assert change(0.0, name="noisy", row=unsure).verdict == "not asserted"


def test_a_missing_value_is_never_as_expected_and_is_shown():
    """Neither unchanged, which would be blind, nor better; also of the undamaged samples, hence of every damage."""
    lost = ("missing_classes", "classifier")
    assert EXPECTED["none"][lost] == "same"
    made = [
        change(*((math.nan, None) if row == lost or name == "noisy" else (0.0, 0.1)), name=name, row=row)
        for name in DAMAGES
        for row in ROWS
    ]
    made = [dataclasses.replace(c, undamaged=math.nan, spread=math.nan) if c.row == lost else c for c in made]
    for c in made:
        missing = c.row == lost or c.damage == "noisy"
        assert (c.moved == "missing") == missing and not (missing and c.verdict == "as expected")
    text = report.markdown(made, PARAMS)
    assert "| missing_classes | missing | " + "missing | " * (len(DAMAGES) - 1) + "missing |\n" in text
    assert "- `blurred` is not seen by frechet" in text and "closer_to_training; missing: missing_classes.\n" in text
    assert (
        "- `noisy` is not seen by none; missing: frechet" in text
        and "\n`missing`: could not be computed in every split" in text
    )
    assert "; missing_classes of none should be same; " in text
    assert "none,missing_classes,classifier,,,,,missing,same,not as expected\n" in report.to_csv(made)
    assert "nan" not in text + report.to_csv(made)


def test_every_damage_has_an_expectation_for_every_metric():
    assert set(EXPECTED) == set(DAMAGES) and all(set(row) == set(ROWS) for row in EXPECTED.values())
    assert set(EXPECTED["none"].values()) == {"same"}
    asserted = [value for rows in EXPECTED.values() for value in rows.values() if value != "any"]
    assert len(asserted) > 0.9 * len(DAMAGES) * len(ROWS)
    for wrong in ({"up": "fid"}, {"up": "recall recall:pixels"}, {"up": "recall", "down": "recall"}):
        with pytest.raises(ValueError, match="no such row, or named twice"):
            expected._expect(**wrong)


def test_expectations_that_a_metric_must_meet_to_be_of_use():
    """Of what each metric is for: were one of them changed, it would claim something else."""

    def expected(name, metric):
        return {EXPECTED[name][row] for row in ROWS if row[0] == metric}

    for metric in ("frechet_distance", "kernel_distance"):
        for name in DAMAGES:
            assert expected(name, metric) == {{"none": "same", "memorised": "down"}.get(name, "up")}
    for name in ("classes_dropped", "duplicated", "near_duplicated", "shrunk", "class_means"):
        assert expected(name, "recall") == {"down"}
    assert expected("classes_dropped", "precision") == expected("duplicated", "precision") == {"same"}
    assert expected("classes_dropped", "missing_classes") == expected("duplicated", "near_duplicates") == {"up"}
    assert expected("classes_dropped", "class_entropy") == expected("shrunk", "variance_ratio") == {"down"}
    assert expected("noisy", "precision") == expected("noisy", "density") == {"down"}
    for name in DAMAGES:
        assert expected(name, "closer_to_training") == {"up" if name == "memorised" else "same"}


@pytest.fixture(scope="module")
def control():
    """The control as the pipeline runs it: the digits, their classifier, the committed parameters."""
    params = load_params(ROOT / "params.yaml")
    train, heldout = load_images(params.data)
    training = ClassifierTraining(train, params.features)
    list(training)
    assert training.accuracy(heldout) > 0.97
    found = DamageControl(protocol.pooled(train, heldout), training.network.eval(), params.evaluate, PARAMS)
    assert len(list(found)) == len(found) == PARAMS.splits * (len(DAMAGES) + 1)
    return found


@pytest.fixture(scope="module")
def changes(control):
    return control.changes()


@pytest.mark.slow
def test_the_pool_is_all_digits_once(control):
    assert len(control.data) == 1797
    assert control.data.labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_every_metric_does_what_is_expected_of_it(changes, name):
    """What should move moves, what should not stays; with what was found if it does not."""
    own = [c for c in changes if c.damage == name]
    assert len(own) == len(ROWS) and all(c.change.n == PARAMS.splits for c in own)
    wrong = {c.row: (EXPECTED[name][c.row], str(c.change), c.spread) for c in own if c.verdict == "not as expected"}
    assert not wrong


@pytest.mark.slow
def test_values_that_follow_from_the_damages_alone(control):
    """Without any expectation: half of the classes, copies at distance 0, a share of copies that is known."""

    def mean(name, metric, features=""):
        values = control.values[name][metric, features]
        return sum(values) / len(values)

    assert mean("classes_dropped", "missing_classes", "classifier") == 5
    assert mean("duplicated", "near_duplicates") == 1 and mean("memorised", "nearest_training_distance") == 0
    assert mean("memorised", "precision", "classifier") == mean("memorised", "precision", "pixels") == 1
    # Each deviation is multiplied by the factor; rounding to grey levels adds a little, clipping takes a little.
    assert mean("shrunk", "variance_ratio") == pytest.approx(PARAMS.shrink**2, abs=0.02)
    least = (1 + PARAMS.n_heldout / PARAMS.n_reference) / 2
    assert least - 0.02 < mean("memorised", "closer_to_training") < least + 0.05
    assert mean("", "closer_to_training") == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_the_report_shows_every_change(changes):
    text = report.markdown(changes, PARAMS)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == len(ROWS) + 2 and "0 of 240 cells are not as expected" in text
    assert all(line.count("|") == rows[0].count("|") for line in rows)
    near = next(line for line in rows if line.startswith("| near_duplicates "))
    assert near.split("|")[6].strip() == "↑ 0.99"
    copied = next(line for line in rows if line.startswith("| frechet_distance (classifier)"))
    assert copied.split("|")[-2].strip().startswith("**↓ ")
    lines = report.to_csv(changes).splitlines()
    assert lines[0] == ",".join(report.COLUMNS) and len(lines) == len(changes) + 1
    wrong = dataclasses.replace(changes[0], change=Interval(900.0, 1.0, 16))
    assert "1 of 240 cells are not as expected; frechet_distance (classifier) of none should be same; " in (
        report.markdown([wrong, *changes[1:]], PARAMS)
    )
