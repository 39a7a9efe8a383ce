"""Families of metrics, and where a metric has no value: a row for each all the same, and no harm to the others."""

import functools
import math

import numpy as np
import pytest
import torch

from reflowbench.core.gaussians import fit
from reflowbench.core.jackknife import groups_of, jackknife_error
from reflowbench.data.images import ImageSet
from reflowbench.metrics import classes, diversity, neighbours
from reflowbench.metrics.families import Family, measure
from reflowbench.metrics.features.classifier import ClassifierTraining
from reflowbench.metrics.features.pixels import Pixels
from reflowbench.metrics.frechet import FrechetDistance, Projection
from reflowbench.metrics.kernel import KernelDistance
from reflowbench.metrics.measurement import UndefinedError
from reflowbench.metrics.neighbours import Neighbourhood, PrecisionRecall, distances_within
from reflowbench.metrics.reference import Reference
from reflowbench.runtime.params import EvaluateParams, FeaturesParams

SHAPE = (1, 3, 3)
PRDC = neighbours.METRICS
OF_FEATURES = ("frechet_distance", "frechet_distance_infinity", "kernel_distance", *PRDC, "vendi_score")
OF_IMAGES = ("variance_ratio", "effective_rank", "near_duplicates")


def evaluate_params(**changes):
    values = {
        "features": ["classifier"],
        "inception": {"mode": "clean", "weights": None, "sha256": None},
        "pca": None,
        "neighbours": 3,
        "groups": 5,
        "n_samples": 30,
        "solver": "euler",
        "nfe": [4, 1],
        "adaptive_tolerance": 1e-2,
    }
    values |= {"floor_repeats": 3, "grid_images": 4, "inversion_images": 25, "inversion_steps": 3}
    return EvaluateParams(**(values | changes))


def image_set(n, shape=SHAPE, seed=0):
    pixels = torch.rand(n, math.prod(shape), generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return ImageSet(pixels, torch.arange(n) % 4, shape, levels=17, dequantized=True)


@functools.cache
def trained_classifier(shape=SHAPE):
    training = ClassifierTraining(image_set(40, shape), FeaturesParams(dim=4, steps=30, batch=16, lr=1e-3, seed=0))
    for _ in training:
        pass
    return training.network.eval()


class Made(Pixels):
    """A feature space made of the pixels by any function."""

    def __init__(self, name, function):
        super().__init__(SHAPE)
        self.name, self._function = name, function

    def features(self, images):
        return self._function(super().features(images))


def reference(*networks, real=None, **changes):
    networks = networks or (trained_classifier(), Pixels(SHAPE))
    return Reference(real or image_set(60, seed=1), networks, trained_classifier(), evaluate_params(**changes))


def by_name(scores):
    found = {(m.metric, m.features): m for m in scores.measurements}
    assert len(found) == len(scores.measurements)
    return found


def undefined(scores):
    """The metrics without a value, by their reasons; checks that each measurement is whole."""
    for m in scores.measurements:
        assert (m.value is None) == bool(m.missing)
        assert m.value is not None or m.error is None
        assert m.value is None or math.isfinite(m.value)
    return {(m.metric, m.features): m.missing for m in scores.measurements if m.value is None}


# Families


def test_a_family_has_the_values_and_the_errors_of_its_metrics():
    sample = np.random.default_rng(0).normal(size=40)
    family = Family(("mean", "twice"), lambda rows: (sample[rows].mean(), 2 * sample[rows].mean()), 40, "space")
    (mean, twice), left_out = measure(family, 40)
    error = sample.std(ddof=1) / 40**0.5
    assert (mean.metric, mean.features, mean.n_samples, mean.missing) == ("mean", "space", 40, "")
    assert (mean.value, mean.error) == pytest.approx((sample.mean(), error))
    assert (twice.value, twice.error) == pytest.approx((2 * sample.mean(), 2 * error))
    assert left_out["mean"] == pytest.approx((sample.sum() - sample) / 39)


def test_errors_are_left_away_where_they_are_not_asked_for_and_taken_from_the_faster_way():
    plain = {"names": ("one",), "over": lambda rows: (1.0,), "n": 10}
    assert measure(Family(**plain), 0)[0][0].error is None
    assert measure(Family(**plain, errors=False), 5)[0][0].error is None
    faster = Family(**plain, left_out=lambda groups: np.arange(groups)[None])
    assert measure(faster, 5)[0][0].error == jackknife_error(np.arange(5))


ERRORS = (UndefinedError, np.linalg.LinAlgError, torch.linalg.LinAlgError)


@pytest.mark.parametrize("error", [kind("too few") for kind in ERRORS])
def test_a_family_that_cannot_be_computed_is_missing_with_the_reason(error, capsys):
    def over(rows):
        raise error

    found, left_out = measure(Family(("a", "b"), over, 7, "space"), 3)
    assert [(m.metric, m.value, m.error, m.missing) for m in found] == [(x, None, None, "too few") for x in "ab"]
    assert all((m.features, m.n_samples) == ("space", 7) for m in found) and not left_out
    measure(Family(("a", "b"), over, 7, "space"), 3)
    said = capsys.readouterr().err.splitlines()
    assert said in (["not computed: a, b (space features): too few"], [])  # once in a process


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        measure(Family(("a",), lambda rows: (1 / 0,), 3), 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_missing_and_leaves_the_rest_of_its_family_alone(value):
    (bad, good), _ = measure(Family(("bad", "good"), lambda rows: (value, 1.0), 9), 3)
    assert bad.value is None and str(value) in bad.missing
    assert good.value == 1.0 and good.error == 0


def test_a_value_without_an_error_where_fewer_samples_do_not_suffice():
    def over(rows):
        if len(rows) < 9:
            raise UndefinedError("needs 9")
        return (2.0,)

    for family in (
        Family(("a",), over, 9),
        Family(("a",), over, 9, left_out=lambda groups: np.array([[1, np.nan, 2]])),
    ):
        (found,), left_out = measure(family, 3)
        assert (found.value, found.error, found.missing) == (2.0, None, "") and not left_out


# Reference


def test_every_metric_is_that_of_its_function():
    real, images, k = image_set(60, seed=1), image_set(50, seed=2).real, 3
    scores = reference(real=real, pca=2).measure(images)
    found = {name: m.value for name, m in by_name(scores).items()}
    for network in (trained_classifier(), Pixels(SHAPE)):
        a, b, name = network.features(images), network.features(real.real), network.name
        distance, projection = FrechetDistance(b), Projection(b, 2)
        radii = Neighbourhood(distances_within(b)).radii(k)
        expected = (
            distance(a), distance.at_infinity(a), KernelDistance(b)(a), *PrecisionRecall(b, radii, a, k).values(),
            diversity.vendi_score(a),
        )  # fmt: skip
        assert tuple(found.pop((metric, name)) for metric in OF_FEATURES) == pytest.approx(expected, rel=1e-9)
        projected = FrechetDistance(projection(b))(projection(a))
        assert found.pop(("frechet_distance", f"{name}_pca2")) == pytest.approx(projected)
    shares = classes.histogram(trained_classifier().probabilities(real.real))  # not the labels': see missing_classes
    expected = classes.class_metrics(trained_classifier().probabilities(images), shares)
    assert tuple(found.pop((metric, "classifier")) for metric in classes.METRICS) == expected
    a, b = (x.double().numpy() for x in (images, real.real))
    threshold = diversity.duplicate_threshold(Neighbourhood(distances_within(b)))
    assert found == {
        ("variance_ratio", ""): diversity.variance_ratio(fit(a), fit(b)),
        ("effective_rank", ""): diversity.effective_rank(diversity.spectrum(fit(a))),
        ("near_duplicates", ""): diversity.near_duplicates(Neighbourhood(distances_within(a)), threshold),
    }


def test_every_metric_but_the_extrapolated_one_has_an_error():
    scores = reference().measure(image_set(50, seed=2).real)
    assert all(m.n_samples == 50 for m in scores.measurements)
    without = {m.metric for m in scores.measurements if m.error is None}
    assert without == {"frechet_distance_infinity"} and not undefined(scores)
    plain = reference().measure(image_set(50, seed=2).real, errors=False)
    assert [m.value for m in plain.measurements] == [m.value for m in scores.measurements]
    assert all(m.error is None for m in plain.measurements) and not plain.left_out


def test_the_distances_without_each_group_are_kept():
    images, real = image_set(50, seed=2).real, image_set(60, seed=1)
    scores = reference(real=real, pca=2).measure(images)
    assert set(scores.left_out) == {"classifier", "classifier_pca2", "pixels", "pixels_pca2"}
    distance, a = FrechetDistance(Pixels(SHAPE).features(real.real)), Pixels(SHAPE).features(images)
    expected = [distance(np.delete(a, group, axis=0)) for group in groups_of(50, 5)]
    assert scores.left_out["pixels"] == pytest.approx(expected)
    error = by_name(scores)["frechet_distance", "pixels"].error
    assert error == pytest.approx(jackknife_error(expected)) and error > 0


def test_large_sets_are_compared_by_some_of_their_images(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST", 20)
    images, real = image_set(50, seed=2).real, image_set(60, seed=1)
    scores = by_name(reference(real=real).measure(images))
    assert {m.metric for m in scores.values() if m.n_samples == 20} == {
        *PRDC,
        "kernel_distance",
        "variance_ratio",
        "effective_rank",
        "near_duplicates",
    }
    a, b = (Pixels(SHAPE).features(x[:20]) for x in (images, real.real))
    expected = PrecisionRecall(b, Neighbourhood(distances_within(b)).radii(3), a, 3).values()
    assert tuple(scores[metric, "pixels"].value for metric in PRDC) == expected


# Missing values

SPACES = ("classifier", "pixels")
TOO_FEW = {(metric, space) for metric in PRDC for space in SPACES}
ONE_IMAGE = {(m, space) for m in OF_FEATURES[:-1] for space in SPACES} | {(metric, "") for metric in OF_IMAGES}
NOT_SPANNED = {("frechet_distance_infinity", space) for space in SPACES}


def noise(n):
    return image_set(n, seed=2).real


@pytest.mark.parametrize(
    ("images", "expected", "reason"),
    [
        pytest.param(noise(1), ONE_IMAGE, "not 1", id="one"),
        pytest.param(noise(3), TOO_FEW | NOT_SPANNED, "more than", id="no k-th neighbour"),
        pytest.param(noise(4), NOT_SPANNED, "more than", id="just enough neighbours"),
        pytest.param(noise(8), NOT_SPANNED, "more than", id="fewer than dimensions"),
        pytest.param(noise(50)[:1].repeat(50, 1), {("effective_rank", "")}, "the same", id="constant"),
        pytest.param(torch.zeros(50, 9), {("effective_rank", ""), ("vendi_score", "pixels")}, "", id="zero"),
        pytest.param(noise(50), set(), "", id="healthy"),
    ],
)
def test_what_cannot_be_computed_is_missing_and_nothing_else_is(images, expected, reason):
    scores = reference().measure(images)
    assert {(m.metric, m.features) for m in scores.measurements} == set(by_name(reference().measure(noise(50))))
    found = undefined(scores)
    assert set(found) == expected
    assert all(reason in missing for missing in found.values())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_images_that_are_not_finite_have_no_metric_but_every_row(value):
    images = noise(50)
    images[7, 3] = value
    scores = reference(pca=2).measure(images)
    assert [(m.metric, m.features) for m in scores.measurements] == list(by_name(reference(pca=2).measure(noise(50))))
    assert set(undefined(scores).values()) == {"the samples are not finite"} and not scores.left_out
    assert all(m.value is None and m.n_samples == 50 for m in scores.measurements)


def test_a_failure_is_the_reason_of_all():
    scores = reference().measure(noise(50), failure="no step is small enough")
    assert set(undefined(scores)) == set(by_name(reference().measure(noise(50))))
    assert set(undefined(scores).values()) == {"no step is small enough"}


def one_nan(x):
    return np.where(np.arange(len(x))[:, None] == 3, np.nan, x)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of what is not a number
@pytest.mark.parametrize("real_too", [False, True])
@pytest.mark.parametrize(
    ("change", "expected", "if_real_too"),
    [
        pytest.param(lambda x: x * (np.arange(len(x)) > 0)[:, None], {"vendi_score"}, set(), id="one zero"),
        pytest.param(lambda x: 0 * x, {"vendi_score"}, {"kernel_distance"}, id="all zero"),
        pytest.param(lambda x: np.tile(x[:, :1] + 2, 9), set(), set(), id="singular covariance"),
        pytest.param(one_nan, set(OF_FEATURES), set(), id="one not a number"),
    ],
)
def test_a_broken_feature_space_does_not_harm_another(real_too, change, expected, if_real_too):
    network = Made("made", change if real_too else lambda x: x if len(x) == 60 else change(x))
    scores = reference(network, Pixels(SHAPE)).measure(noise(50))
    alone = by_name(reference(Pixels(SHAPE)).measure(noise(50)))
    assert {name: m for name, m in by_name(scores).items() if name[1] != "made"} == alone
    assert {name for name in by_name(scores) if name[1] == "made"} == {(metric, "made") for metric in OF_FEATURES}
    assert set(undefined(scores)) == {(metric, "made") for metric in expected | (if_real_too if real_too else set())}


@pytest.mark.parametrize(
    ("change", "expected", "reason"),
    [
        ({"pca": 5}, {("frechet_distance", "classifier_pca5")}, "evaluate.pca = 5: there are only 4 features"),
        ({"pca": 10}, {("frechet_distance", f"{x}_pca10") for x in SPACES}, "evaluate.pca = 10"),
        ({"neighbours": 50}, TOO_FEW, "needs more than 50 samples, not 50"),
        ({"neighbours": 60}, TOO_FEW, "needs more than 60 samples, not 60"),
    ],
)
def test_parameters_that_ask_for_too_much_are_named(change, expected, reason):
    found = undefined(reference(**change).measure(noise(50)))
    assert set(found) == expected and all(reason in missing for missing in found.values())
