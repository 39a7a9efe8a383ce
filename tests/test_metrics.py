import numpy as np
import pytest
import torch
from cleanfid.fid import frechet_distance as cleanfid_frechet_distance
from cleanfid.fid import kernel_distance as cleanfid_kernel_distance

from reflowbench.core.config import EvaluateParams, FeaturesParams
from reflowbench.core.errors import ReflowbenchError
from reflowbench.metrics import classifier
from reflowbench.metrics.evaluate import Evaluation
from reflowbench.metrics.frechet import frechet_distance
from reflowbench.metrics.kernel import KernelDistance
from reflowbench.metrics.straightness import sample_with_straightness
from tests.oracles import StraightGaussianFlow, gaussian_flow

RNG = np.random.default_rng(0)
FEATURES = FeaturesParams(dim=8, steps=30, batch=16, lr=1e-3, test_fraction=0.25, seed=0)


def cleanfid_distance(a, b):
    return cleanfid_frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("dim", [2, 10, 64])
def test_frechet_distance_is_clean_fids(dim):
    a = RNG.normal(size=(500, dim)) @ RNG.normal(size=(dim, dim))
    b = RNG.normal(size=(400, dim)) + 0.5
    assert frechet_distance(a, b) == pytest.approx(cleanfid_distance(a, b), rel=1e-8)


def test_frechet_distance_in_closed_form():
    """Diagonal Gaussians: |m1 - m2|^2 + sum (s1 - s2)^2, on features with exactly these moments."""
    white = RNG.normal(size=(1000, 3))
    white -= white.mean(axis=0)
    white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    a, b = white * [1.0, 2.0, 0.5] + [1.0, 0.0, 0.0], white * [3.0, 2.0, 1.0]
    assert frechet_distance(a, b) == pytest.approx(1.0 + 4.0 + 0.25)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_degenerate_features():
    """A collapsed model has a singular covariance, where a general matrix square root struggles."""
    point = np.zeros((50, 6))
    cloud = RNG.normal(size=(500, 6))
    expected = (cloud.mean(axis=0) ** 2).sum() + np.trace(np.cov(cloud, rowvar=False))
    assert frechet_distance(point, cloud) == pytest.approx(expected)


def test_kernel_distance_is_clean_fids():
    """With one subset of all samples; its random order does not matter."""
    a, b = RNG.normal(size=(60, 5)), RNG.normal(size=(60, 5)) + 0.3
    b /= np.sqrt(np.square(b).mean())
    assert KernelDistance(7 * b)(7 * a) == pytest.approx(KernelDistance(b)(a))  # whatever the unit of the features
    assert KernelDistance(b)(a) == pytest.approx(cleanfid_kernel_distance(a, b, num_subsets=1, max_subset_size=60))


def test_kernel_distance_is_unbiased_and_sees_a_shift():
    values = [KernelDistance(RNG.normal(size=(30, 3)))(RNG.normal(size=(20, 3))) for _ in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert KernelDistance(RNG.normal(size=(500, 3)))(RNG.normal(size=(500, 3)) + 1) > 10 * np.std(values)


def test_straightness_is_zero_exactly_for_straight_flows():
    x0 = torch.randn(20, 3, dtype=torch.float64)
    straight = gaussian_flow(StraightGaussianFlow)
    end, value = sample_with_straightness(straight, x0, "rk4", 10)
    assert torch.allclose(end, straight.forward_map(x0)) and value.abs().max() < 1e-10
    assert (sample_with_straightness(gaussian_flow(), x0, "rk4", 10)[1] > 1e-3).all()


def test_straightness_is_the_integral_in_its_definition():
    x0 = torch.randn(20, 3, dtype=torch.float64)
    flow = gaussian_flow()
    x1 = flow.forward_map(x0)
    times = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    m, c = flow.mean, flow.variance
    integral = 0
    for t in times:  # on the exact trajectory x_t = t m + sqrt((1-t)^2 + t^2 c) x0
        x = t * m + ((1 - t) ** 2 + t**2 * c).sqrt() * x0
        integral = integral + (x1 - x0 - flow(x, t[None])).square().sum(dim=1) / 2000
    assert torch.allclose(sample_with_straightness(flow, x0, "rk4", 400)[1], integral, rtol=1e-3)


def params(**changes):
    values = {
        "n_samples": 30,
        "solver": "euler",
        "nfe": [4, 1],
        "adaptive_tolerance": 1e-2,
    }
    return EvaluateParams(**(values | {"floor_repeats": 3, "grid_images": 4} | changes))


@pytest.fixture
def features(images):
    training = classifier.ClassifierTraining(images, FEATURES)
    for _ in training:
        pass
    return training.network.eval()


def evaluate(velocity, images, features, seed=0, **changes):
    evaluation = Evaluation(velocity, images, features, params(**changes), seed)
    assert len(list(evaluation)) == len(evaluation)
    return evaluation


def test_every_solver_and_metric_is_measured_with_its_conditions(network, images, features):
    evaluation = evaluate(network, images, features)
    found = {(m.metric, m.solver, m.nfe if m.solver == "euler" else None) for m in evaluation.measurements}
    for metric in ("frechet_distance", "kernel_distance", "variance_ratio"):
        assert {(metric, "euler", 1), (metric, "euler", 4), (metric, "dopri5", None)} <= found
    assert {("straightness", "euler", 4), ("frechet_distance_floor", "", None)} <= found
    kernel_floor = "kernel_distance_floor"
    assert all(m.n_samples == (20 if m.metric == kernel_floor else 30) for m in evaluation.measurements)
    assert all((m.features == "classifier") == ("distance" in m.metric) for m in evaluation.measurements)
    assert all(m.nfe > 4 for m in evaluation.measurements if m.solver == "dopri5")
    assert set(evaluation.samples) == {"euler_1", "euler_4", "dopri5"}


def test_models_of_a_seed_are_given_the_same_noise(images, features):
    """The field v = 0 returns its noise: equal samples at every NFE, and other ones for another seed."""
    zero = lambda x, t: torch.zeros_like(x)  # noqa: E731
    first, other = evaluate(zero, images, features), evaluate(zero, images, features, seed=1)
    assert torch.equal(first.samples["euler_1"], first.samples["euler_4"])
    assert torch.equal(first.samples["euler_1"], first.samples["dopri5"])
    assert not torch.equal(first.samples["euler_1"], other.samples["euler_1"])


def test_a_perfect_model_scores_the_floor_and_a_collapsed_one_does_not(images, features):
    """Positive control: a field that ends at real images, and one that ends at their mean."""

    def ending_at(targets):
        def field(x, t):
            assert len(x) == 256
            return targets[torch.arange(256) % len(targets)] - x if t.item() == 0 else torch.zeros_like(x)

        return field

    def score(targets):
        evaluation = Evaluation(ending_at(targets), images, features, params(nfe=[1], n_samples=40), 0)
        iterator = iter(evaluation)
        next(iterator)
        return {m.metric: m.value for m in evaluation.measurements}

    perfect, collapsed = score(images.images), score(images.images.mean(dim=0, keepdim=True))
    assert perfect["frechet_distance"] == pytest.approx(0, abs=1e-6)
    assert perfect["variance_ratio"] == pytest.approx(1, abs=1e-5)
    assert collapsed["frechet_distance"] > 3 * perfect["frechet_distance_floor"] > 0
    assert collapsed["variance_ratio"] == pytest.approx(0, abs=1e-6)


def test_a_diverged_model_is_an_error(images, features):
    with pytest.raises(ReflowbenchError, match="samples of euler at NFE 1 are not finite"):
        evaluate(lambda x, t: x * float("nan"), images, features)


def test_the_classifier_learns_and_round_trips(tmp_path, images):
    """Labels that depend on the mean of the image are learned from the training part and scored on the rest."""
    pixels = torch.cat([torch.full((60, 16), -0.5), torch.full((60, 16), 0.5)]) + 0.1 * torch.randn(120, 16)
    data = type(images)(pixels.clamp(-1, 1), torch.arange(120) // 60, (1, 4, 4), 17, False)
    training = classifier.ClassifierTraining(data, FEATURES)
    losses = list(training)
    assert losses[-1] < losses[0] and training.accuracy() == 1.0
    assert not set(training._train.tolist()) & set(training._test.tolist())
    classifier.save(tmp_path / "c", training.network, data, FEATURES, 0.5)
    loaded, accuracy = classifier.load(tmp_path / "c")
    assert accuracy == 0.5
    assert (loaded.features(data.real) == training.network.features(data.real)).all()


def test_an_empty_part_of_the_split_is_an_error(images):
    with pytest.raises(ReflowbenchError, match=r"features.test_fraction = 0.001: leaves 0 of 40 images"):
        classifier.ClassifierTraining(images, FEATURES.model_copy(update={"test_fraction": 0.001}))
