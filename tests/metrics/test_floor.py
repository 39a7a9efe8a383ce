from collections import Counter
from functools import partialmethod
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reflowbench.core.randomness import generator
from reflowbench.metrics import families, neighbours, reference
from reflowbench.metrics import floor as floor_module
from reflowbench.metrics.features.pixels import Pixels
from reflowbench.metrics.floor import floor, real_spectrum
from reflowbench.metrics.frechet import FrechetDistance
from reflowbench.metrics.kernel import KernelDistance
from tests.metrics.test_reference import evaluate_params, image_set

SHAPE = (1, 4, 4)
SPACES = ("classifier", "pixels")
OF_ALL = ("frechet_distance", "frechet_distance_infinity", "frechet_distance_heldout")
ONCE = "frechet_distance_generalizer"
OF_PARTS = ("kernel_distance", *neighbours.METRICS)


@pytest.fixture
def measured(images, heldout, classifier):
    def run(*networks, reconstructions=None, **changes):
        networks = networks or (classifier, Pixels(SHAPE))
        found = floor(images, heldout, networks, classifier, evaluate_params(**changes), reconstructions)
        named = {(m.metric, m.features): m for m in found}
        assert len(named) == len(found)
        return named

    return run


def test_the_floor_is_measured_with_its_conditions(measured, images, heldout):
    """Parts of 40 images as 30 samples are to 40 images: 17 and 23."""
    first, again = measured(), measured()
    assert first == again
    expected = {(metric, space): 30 for metric in (*OF_ALL, ONCE, "vendi_score") for space in SPACES}
    expected |= {(metric, space): 17 for metric in OF_PARTS for space in SPACES}
    expected |= {(metric, "classifier"): 30 for metric in ("class_score", "class_entropy", "missing_classes")}
    expected |= {(metric, ""): 30 for metric in ("variance_ratio", "effective_rank", "near_duplicates")}
    expected[("nearest_training_distance", "")] = 10
    assert {name: m.n_samples for name, m in first.items()} == {
        (f"{metric}_floor", space): n for (metric, space), n in expected.items()
    }
    assert all((m.solver, m.nfe) == ("", 0) for m in first.values())
    nearest = torch.cdist(heldout.real, images.real).min(dim=1).values.median().item()
    assert first["nearest_training_distance_floor", ""].value == pytest.approx(nearest)


def test_every_floor_is_a_mean_over_repeats_with_its_error(measured, images):
    """By hand: images with replacement against all, and one random part against the other."""
    found = measured(floor_repeats=4)
    pixels, draws, parts = images.real.double().numpy(), [], []
    for repeat in range(4):
        draw = generator(0, "floor", step=repeat)
        draws.append(FrechetDistance(pixels)(pixels[torch.randint(40, (30,), generator=draw)]))
        order = torch.randperm(40, generator=draw)
        parts.append(KernelDistance(pixels[order[17:]])(pixels[order[:17]]))
    for metric, values in (("frechet_distance", draws), ("kernel_distance", parts)):
        m = found[f"{metric}_floor", "pixels"]
        assert (m.value, m.error) == pytest.approx((np.mean(values), np.std(values, ddof=1) / 2))
    assert all(
        m.error is not None
        for m in found.values()
        if m.value is not None and m.n_samples != 10 and ONCE not in m.metric
    )


def test_real_images_are_as_diverse_as_real_images(measured):
    """All of them, in another order: the value of the reference itself, and no spread over repeats."""
    found = measured(n_samples=1000)
    whole = [m for m in found.values() if m.n_samples == 40 and m.value is not None]
    assert {m.metric for m in whole} > {"variance_ratio_floor", "effective_rank_floor", "near_duplicates_floor"}
    assert [m.error for m in whole] == pytest.approx([0] * len(whole), abs=1e-9)
    assert found["variance_ratio_floor", ""].value == pytest.approx(1)
    assert 1 < found["effective_rank_floor", ""].value < 16
    assert found["near_duplicates_floor", ""].value <= 2 / 40  # below a quantile of 0.01: the nearest pair, if any


def test_the_floor_is_that_of_samples_of_the_same_size(measured, images):
    """Fewer samples have a higher floor of the biased distance; the unbiased one is about 0, whatever their number."""
    space = Pixels(SHAPE)
    many, few = ({m.metric: m for m in measured(space, n_samples=n, floor_repeats=30).values()} for n in (400, 10))
    assert 0 < 5 * many["frechet_distance_floor"].value < few["frechet_distance_floor"].value
    shifted = KernelDistance(space.features(images.real))(space.features((images.real + 0.5).clamp(-1, 1)))
    for found in (many, few):
        m = found["kernel_distance_floor"]
        assert abs(m.value) < 4 * m.error < shifted / 3
    assert abs(many["frechet_distance_infinity_floor"].value) < many["frechet_distance_floor"].value / 3


def test_parts_of_one_law_are_near_each_other(measured):
    found = measured(Pixels(SHAPE), floor_repeats=20)
    for metric in neighbours.METRICS:
        m = found[f"{metric}_floor", "pixels"]
        assert 0.3 < m.value < 1.2 and 0 < m.error < 0.1


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"pca": 5}, {("frechet_distance", "classifier_pca5")}),
        ({"pca": 16}, {("frechet_distance", "classifier_pca16")}),
        ({"n_samples": 12}, {("frechet_distance_infinity", space) for space in SPACES}),
        ({"neighbours": 20}, {(metric, space) for metric in neighbours.METRICS for space in SPACES}),
    ],
)
def test_a_floor_that_cannot_be_computed_is_missing_with_the_reason(measured, change, missing):
    found = measured(**({"n_samples": 80} | change))
    without = {name: m for name, m in found.items() if m.value is None}
    of_ten_heldout = {(ONCE, "pixels")}  # whose halves do not span 16 pixels
    assert set(without) == {(f"{metric}_floor", space) for metric, space in missing | of_ten_heldout}
    assert all(m.missing and m.error is None for m in without.values())
    assert len(found) == len(measured()) + 2 * ("pca" in change)


def test_the_real_spectrum_is_that_of_the_images_at_grey_levels(images):
    expected = torch.linalg.eigvalsh(images.real.double().T.cov()).flip(0)
    assert real_spectrum(images) == pytest.approx(expected.tolist())


def test_only_what_is_kept_is_computed(measured, monkeypatch):
    """Each family once in a repeat, with the values that it has among all others."""
    plain, computed = measured(), Counter()

    def counted(family, groups):
        computed[tuple(family.names), family.features] += 1
        return families.measure(family, groups)

    monkeypatch.setattr(reference, "families", SimpleNamespace(measure=counted, missing=families.missing))
    found = measured()
    assert set(computed.values()) == {3} and found == plain
    assert {f"{name}_floor" for names, _ in computed for name in names} < {metric for metric, _ in found}
    monkeypatch.setattr(reference.Reference, "measure", partialmethod(everything, reference.Reference.measure))
    assert measured() == plain


def everything(self, measure, images, wanted, **options):
    """All metrics are computed and those that are not wanted thrown away."""
    scores = measure(self, images, **options)
    return reference.Scores([m for m in scores.measurements if wanted(m.metric)])


def test_every_measured_metric_has_one_kind_of_floor(measured):
    """None is left out and none is measured against two references."""
    suffixed = {metric for metric, _ in measured()}
    assert all(metric.endswith("_floor") for metric in suffixed)
    assert set(floor_module._BIASED + floor_module._DISJOINT) <= {metric.removesuffix("_floor") for metric in suffixed}


def test_a_generaliser_is_further_away_than_a_memoriser(images, classifier):
    """Images of the same law that were not trained on, of as many as are sampled, against all training images."""
    space, unseen = Pixels(SHAPE), image_set(90, SHAPE, seed=7)
    params = evaluate_params(n_samples=60, floor_repeats=20)
    measured = {m.metric: m for m in floor(images, unseen, (space,), classifier, params)}
    found = {name: m.value for name, m in measured.items()}
    one = measured["frechet_distance_generalizer_floor"]
    assert one.n_samples == 60 and 0 < one.error < one.value
    expected = FrechetDistance(space.features(images.real))(space.features(unseen.real[:60]))
    assert found["frechet_distance_generalizer_floor"] == pytest.approx(expected)
    assert found["frechet_distance_generalizer_floor"] > found["frechet_distance_floor"]


def test_the_decoder_has_a_floor_of_its_own(measured, images):
    """Reconstructions against the originals; drawn with replacement, they are near themselves."""
    blurred = images.quantize((images.images * 0.5).clamp(-1, 1))
    found = measured(Pixels(SHAPE), reconstructions=blurred)
    distance = FrechetDistance(Pixels(SHAPE).features(images.real))
    decoder = found["frechet_distance_decoder_floor", "pixels"]
    assert decoder.value == pytest.approx(distance(Pixels(SHAPE).features(blurred))) and decoder.n_samples == 40
    own = found["frechet_distance_reconstructions_floor", "pixels"]
    assert 0 < own.value < decoder.value and own.error is not None
    assert not [metric for metric, _ in measured() if "decoder" in metric or "reconstructions" in metric]
