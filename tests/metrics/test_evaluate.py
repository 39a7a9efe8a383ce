import math

import pytest
import torch

from reflowbench.core.randomness import noise
from reflowbench.flow.adaptive import solve_adaptive
from reflowbench.flow.solvers import solve
from reflowbench.metrics import neighbours
from reflowbench.metrics.evaluate import Evaluation
from reflowbench.metrics.features.pixels import Pixels
from reflowbench.metrics.floor import floor
from reflowbench.metrics.inversion import NOISE_LAW, invert_and_return, noise_law, reconstruction_error
from reflowbench.metrics.reference import Reference
from reflowbench.metrics.straightness import sample_with_geometry
from reflowbench.runtime.artifacts import read_tensors, write_tensors
from tests.metrics.test_reference import evaluate_params

SHAPE = (1, 4, 4)
SPACES = ("classifier", "pixels")
OF_FEATURES = (
    "frechet_distance", "frechet_distance_infinity", "frechet_distance_heldout", "kernel_distance", *neighbours.METRICS,
    "vendi_score",
)  # fmt: skip
OF_IMAGES = ("variance_ratio", "effective_rank", "near_duplicates")
OF_CLASSES = ("class_score", "class_entropy", "missing_classes")
GEOMETRY, MEMORIZATION = ("straightness", "total_curvature"), ("nearest_training_distance", "closer_to_training")
INVERSION = ("reconstruction_error_real", "reconstruction_error_synthetic", *NOISE_LAW)


def evaluation_of(velocity, images, heldout, classifier, seed=0, **changes):
    params = evaluate_params(**changes)
    reference = Reference(images, (classifier, Pixels(SHAPE)), classifier, params, {"heldout": heldout.real})
    return Evaluation(velocity, images, heldout, reference, params, seed)


def evaluate(*args, **changes):
    evaluation = evaluation_of(*args, **changes)
    assert len(list(evaluation)) == len(evaluation)
    return evaluation


def rows(evaluation):
    """Which measurements there are, without the NFE of the adaptive solver, which depends on the model."""
    found = [(m.metric, m.solver, m.features, m.n_samples, m.nfe * (m.solver != "dopri5")) for m in evaluation]
    assert len(set(found)) == len(found)
    return sorted(found)


def still(x, t):
    """The field v = 0, which returns its noise and takes images for their own."""
    return torch.zeros_like(x)


def diverged(x, t):
    return x * math.nan


def overflowing(x, t):
    return 1e30 * (1 + x.abs())


def on_the_grid_alone(x, t):
    """Finite where the fixed-step solvers of these tests look, and nowhere between."""
    return x * torch.where((12 * t - (12 * t).round()).abs() < 1e-3, 1.0, math.nan)[:, None]


def test_every_solver_and_metric_is_measured_with_its_conditions(network, images, heldout, classifier):
    evaluation = evaluate(network, images, heldout, classifier)
    expected = []
    for solver, nfe in (("euler", 1), ("euler", 4), ("dopri5", 0)):
        expected += [(metric, solver, space, 30, nfe) for metric in OF_FEATURES for space in SPACES]
        expected += [(metric, solver, "classifier", 30, nfe) for metric in OF_CLASSES]
        expected += [(metric, solver, "", 30, nfe) for metric in OF_IMAGES]
    expected += [(metric, "euler", "", 30, 4) for metric in (*GEOMETRY, *MEMORIZATION)]
    expected += [(metric, "heun", "", 25, 6) for metric in INVERSION]
    assert rows(evaluation.measurements) == sorted(expected)
    assert all(m.nfe > 4 for m in evaluation.measurements if m.solver == "dopri5")
    assert len({m.nfe for m in evaluation.measurements if m.solver == "dopri5"}) == 1
    assert set(evaluation.samples) == {"euler_1", "euler_4", "dopri5"}
    assert all(len(samples) == 4 for samples in evaluation.samples.values())
    # 30 samples do not span 16 pixels four times; everything else has a value
    assert {(m.metric, m.features) for m in evaluation.measurements if m.value is None} == {
        ("frechet_distance_infinity", "pixels")
    }


def test_the_parts_are_named_as_they_are_done(network, images, heldout, classifier):
    evaluation = evaluation_of(network, images, heldout, classifier)
    assert list(evaluation) == ["euler 1", "euler 4", "inversion", "dopri5"]


def test_what_is_scored_are_the_models_samples_at_grey_levels(network, images, heldout, classifier):
    evaluation = evaluate(network, images, heldout, classifier)
    z = noise(0, "evaluation", 0, range(30), 16)
    ends = {f"euler_{n}": solve(network, z, "euler", n) for n in (1, 4)}
    ends["dopri5"], nfe = solve_adaptive(network, z, 1e-2)
    for name, end in ends.items():
        assert torch.allclose(evaluation.samples[name], images.quantize(end)[:4], atol=1e-6)
        solver, _, steps = name.partition("_")
        scores = evaluation.reference.measure(images.quantize(end))
        conditions = solver, int(steps or nfe)
        found = {(m.metric, m.features): m for m in evaluation.measurements if (m.solver, m.nfe) == conditions}
        for m in scores.measurements:
            assert found[m.metric, m.features].value == (m.value and pytest.approx(m.value, rel=1e-4, abs=1e-6))
        for space in SPACES:
            assert evaluation.left_out[space][name] == pytest.approx(scores.left_out[space], rel=1e-4)


def test_geometry_is_the_mean_over_samples_at_the_highest_nfe(network, images, heldout, classifier):
    found = {m.metric: m for m in evaluate(network, images, heldout, classifier).measurements}
    _, *expected = sample_with_geometry(network, noise(0, "evaluation", 0, range(30), 16), "euler", 4)
    for metric, values in zip(GEOMETRY, expected, strict=True):
        assert found[metric].value == pytest.approx(values.mean().item(), rel=1e-4) and found[metric].value > 0
        assert found[metric].error == pytest.approx(values.std().item() / 30**0.5, rel=1e-3)


def test_the_spectrum_is_that_of_the_samples_at_the_highest_nfe(images, heldout, classifier):
    evaluation = evaluate(still, images, heldout, classifier, n_samples=100)
    samples = images.quantize(noise(0, "evaluation", 0, range(100), 16)).double()
    expected = torch.linalg.eigvalsh(samples.T.cov()).flip(0)
    assert evaluation.spectrum == pytest.approx(expected.tolist())


def test_inversion_is_of_real_images_and_of_the_models_own_samples(network, images, heldout, classifier):
    """What is measured is what the functions give for the first images and for the samples of most steps."""
    values = {m.metric: m.value for m in evaluate(network, images, heldout, classifier).measurements}
    noise_, back = invert_and_return(network, images.images[:25], 3)
    assert values["reconstruction_error_real"] == reconstruction_error(images.images[:25], back) > 0
    assert tuple(values[name] for name in NOISE_LAW) == noise_law(noise_)
    # more images than there are: all of them
    found = evaluate(network, images, heldout, classifier, inversion_images=1000).measurements
    sizes = {m.metric: m.n_samples for m in found if m.solver == "heun"}
    assert sizes["reconstruction_error_real"] == 40 and sizes["reconstruction_error_synthetic"] == 30
    values = {m.metric: m.value for m in evaluate(still, images, heldout, classifier).measurements}
    assert values["reconstruction_error_real"] == values["reconstruction_error_synthetic"] == 0
    assert values["inverted_norm"] == pytest.approx(images.images[:25].square().mean().item())


def test_models_of_a_seed_are_given_the_same_noise(images, heldout, classifier):
    """The field v = 0 returns its noise: equal samples at every NFE, and other ones for another seed."""
    first, other = (evaluate(still, images, heldout, classifier, seed) for seed in (0, 1))
    assert torch.equal(first.samples["euler_1"], first.samples["euler_4"])
    assert torch.equal(first.samples["euler_1"], first.samples["dopri5"])
    assert torch.equal(first.samples["euler_1"], images.quantize(noise(0, "evaluation", 0, range(4), 16)))
    assert not torch.equal(first.samples["euler_1"], other.samples["euler_1"])


def test_samples_do_not_depend_on_how_many_there_are(network, images, heldout, classifier):
    """To the bit, for the fixed-step solvers, beyond a block; the adaptive one has one step size for all."""
    few, many = (evaluate(network, images, heldout, classifier, n_samples=n) for n in (10, 300))
    for name in ("euler_1", "euler_4"):
        assert torch.equal(few.samples[name], many.samples[name])
    assert {m.metric: m.value for m in few.measurements if m.metric in NOISE_LAW} == {
        m.metric: m.value for m in many.measurements if m.metric in NOISE_LAW
    }


def test_an_evaluation_repeats_to_the_bit(network, images, heldout, classifier):
    first, again = (evaluate(network, images, heldout, classifier) for _ in range(2))
    assert first.measurements == again.measurements
    assert (first.left_out, first.spectrum) == (again.left_out, again.spectrum)


def test_a_perfect_model_scores_the_floor_and_a_collapsed_one_does_not(images, heldout, classifier):
    """Positive control: a field that ends at real images, and one that ends at their mean."""

    def ending_at(targets):
        def field(x, t):
            assert len(x) == 256
            return targets[torch.arange(256) % len(targets)] - x if t.item() == 0 else torch.zeros_like(x)

        return field

    def score(targets):
        evaluation = evaluation_of(ending_at(targets), images, heldout, classifier, nfe=[1], n_samples=40)
        iterator = iter(evaluation)
        assert [next(iterator), next(iterator)] == ["euler 1", "inversion"]
        return {m.metric: m.value for m in evaluation.measurements if m.features != "pixels"}

    perfect, collapsed = score(images.images), score(images.images.mean(dim=0, keepdim=True))
    found = floor(images, heldout, (classifier,), classifier, evaluate_params(n_samples=40))
    floors = {m.metric: m.value for m in found}
    assert perfect["frechet_distance"] == pytest.approx(0, abs=1e-6)
    assert perfect["variance_ratio"] == pytest.approx(1, abs=1e-5)
    assert perfect["precision"] == perfect["recall"] == perfect["coverage"] == 1
    assert perfect["effective_rank"] == pytest.approx(floors["effective_rank_floor"])
    assert collapsed["frechet_distance"] > 3 * floors["frechet_distance_floor"] > 0
    assert collapsed["variance_ratio"] == pytest.approx(0, abs=1e-6)
    assert collapsed["recall"] == 0 and collapsed["near_duplicates"] == 1 and collapsed["class_entropy"] == 0
    assert perfect["vendi_score"] > 1.01 and collapsed["vendi_score"] == pytest.approx(1)
    assert collapsed["effective_rank"] is None
    # the perfect one is perfect by copying, which is measured too; held-out images are no copies
    assert perfect["nearest_training_distance"] < 1e-5 and floors["nearest_training_distance_floor"] > 1
    assert perfect["closer_to_training"] > score(heldout.images)["closer_to_training"] == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("velocity", [diverged, overflowing, on_the_grid_alone])
def test_a_broken_model_has_the_rows_of_a_healthy_one(velocity, network, images, heldout, classifier):
    healthy = evaluate(network, images, heldout, classifier)
    broken = evaluate(velocity, images, heldout, classifier)
    assert rows(broken.measurements) == rows(healthy.measurements)
    for m in broken.measurements:
        assert (m.value is None) == bool(m.missing) and (m.value is None or math.isfinite(m.value))
        if m.solver == "dopri5":
            assert m.value is None and m.nfe == 0 and "dopri5 cannot solve the flow" in m.missing
    assert set(broken.samples) == set(healthy.samples) and "dopri5" not in broken.left_out.get("pixels", {})


def test_a_diverged_model_has_no_value_at_all(images, heldout, classifier):
    evaluation = evaluate(diverged, images, heldout, classifier)
    assert all(m.value is None for m in evaluation.measurements)
    reasons = {m.metric: m.missing for m in evaluation.measurements if m.solver != "dopri5"}
    assert reasons["frechet_distance"] == reasons["precision"] == "the samples are not finite"
    assert reasons["straightness"] == reasons["total_curvature"] == "the trajectories are not finite"
    assert reasons["closer_to_training"] == "the samples are not finite"
    assert reasons["inverted_norm"] == "the noise of inverted images are not finite"
    assert evaluation.left_out == {} and evaluation.spectrum == []


def test_a_failed_adaptive_solver_does_not_harm_the_others(images, heldout, classifier):
    """The same samples by Euler as of the field that is finite everywhere."""
    failing = evaluate(on_the_grid_alone, images, heldout, classifier)
    whole = evaluate(lambda x, t: x, images, heldout, classifier)
    kept = [m for m in failing.measurements if m.solver != "dopri5"]
    assert kept == [m for m in whole.measurements if m.solver != "dopri5"]
    assert all(m.value is not None for m in whole.measurements if m.solver == "dopri5" and m.features != "pixels")
    assert failing.spectrum == whole.spectrum


@pytest.mark.parametrize("nfe", [1, 2])
def test_infinite_samples_are_no_images(images, heldout, classifier, nfe):
    """Rounded to grey levels they would be black and white, and one step to them straight."""
    evaluation = evaluate(lambda x, t: torch.full_like(x, torch.inf), images, heldout, classifier, nfe=[nfe])
    scored = [m for m in evaluation.measurements if m.solver in ("euler", "dopri5")]
    assert scored and all(m.value is None for m in scored) and not evaluation.spectrum


@pytest.mark.parametrize("parts", [1, 2, 4, 5, 6])
def test_an_evaluation_that_is_stopped_after_any_part_gives_the_same(
    network, images, heldout, classifier, tmp_path, parts
):
    """300 samples are two blocks: within an NFE, between two, after the last samples, the inversion, and the end."""
    whole = evaluate(network, images, heldout, classifier, n_samples=300)
    assert len(whole) == 6
    first = evaluation_of(network, images, heldout, classifier, n_samples=300)
    steps = iter(first)
    for _ in range(parts):
        next(steps)
    assert first.done == parts
    write_tensors(tmp_path / "state", *first.state())
    second = evaluation_of(network, images, heldout, classifier, n_samples=300)
    second.restore(*read_tensors(tmp_path / "state"))
    assert len(list(second)) == 6 - parts and second.done == 6
    assert second.measurements == whole.measurements
    assert (second.left_out, second.spectrum) == (whole.left_out, whole.spectrum)
    assert second.samples.keys() == whole.samples.keys()
    assert all(torch.equal(second.samples[name], whole.samples[name]) for name in whole.samples)
