import numpy as np
import pytest
import torch
from cleanfid.fid import frechet_distance as cleanfid_frechet_distance
from cleanfid.fid import kernel_distance as cleanfid_kernel_distance
from scipy import stats

from reflowbench.core.data.images import ImageSet
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.params import EvaluateParams, FeaturesParams
from reflowbench.metrics import classifier
from reflowbench.metrics.evaluate import Evaluation
from reflowbench.metrics.floor import floor
from reflowbench.metrics.frechet import frechet_distance
from reflowbench.metrics.inversion import invert_and_return, ks_distance, noise_law, reconstruction_error
from reflowbench.metrics.kernel import KernelDistance
from reflowbench.metrics.memorization import closer_to_training, nearest_distance
from reflowbench.metrics.straightness import sample_with_straightness
from tests.oracles import StraightGaussianFlow, gaussian_flow

RNG = np.random.default_rng(0)
FEATURES = FeaturesParams(dim=8, steps=30, batch=16, lr=1e-3, seed=0)


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


def normal(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_ks_distance_is_scipys():
    for n, law in [(1, stats.uniform()), (7, stats.expon()), (500, stats.norm(0.1, 1.1))]:
        sample = RNG.normal(size=n) ** 2
        expected = stats.kstest(sample, law.cdf).statistic
        assert ks_distance(torch.from_numpy(law.cdf(sample))) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_the_noise_law_is_that_of_scipy_and_numpy(scale):
    z = scale * normal(400, 16)
    law = noise_law(z)
    squared = z.square().sum(dim=1).numpy()
    assert law["inverted_norm"] == pytest.approx(squared.mean() / 16)
    assert law["inverted_ks_norm"] == pytest.approx(stats.kstest(squared, stats.chi2(16).cdf).statistic)
    assert law["inverted_ks_coordinates"] == pytest.approx(stats.kstest(z.flatten().numpy(), stats.norm.cdf).statistic)
    off_diagonal = np.corrcoef(z.numpy(), rowvar=False)[~np.eye(16, dtype=bool)]
    assert law["inverted_correlation"] == pytest.approx(np.sqrt(np.square(off_diagonal).mean()))
    assert noise_law(z.float()) == pytest.approx(law, abs=1e-6)


def test_normal_noise_has_the_law_of_noise():
    """Within what a sample of this size can say: 1 % critical values, and the spread of a mean of squares."""
    n, dim = 2000, 16
    law = noise_law(normal(n, dim))
    assert law["inverted_norm"] == pytest.approx(1, abs=4 * (2 / (n * dim)) ** 0.5)
    assert law["inverted_ks_norm"] < 1.63 / n**0.5
    assert law["inverted_ks_coordinates"] < 1.63 / (n * dim) ** 0.5
    assert law["inverted_correlation"] == pytest.approx(n**-0.5, rel=0.2)


def test_each_way_of_not_being_noise_is_detected():
    """Positive controls: shrunken, correlated, all on one sphere, and collapsed to a point."""
    n, dim = 2000, 16
    z = normal(n, dim)
    shrunken = noise_law(0.7 * z)
    assert shrunken["inverted_norm"] == pytest.approx(0.49, abs=0.01)
    assert shrunken["inverted_ks_norm"] > 0.5 and shrunken["inverted_ks_coordinates"] > 0.05
    assert shrunken["inverted_correlation"] == pytest.approx(n**-0.5, rel=0.2)  # scale is not correlation
    mixed = 0.6 * z + 0.8 * normal(n, 1, seed=1)  # each coordinate is N(0, 1), each pair correlated by 0.64
    correlated = noise_law(mixed)
    assert correlated["inverted_correlation"] == pytest.approx(0.64, abs=0.03)
    assert correlated["inverted_ks_norm"] > 0.1 > correlated["inverted_ks_coordinates"]
    sphere = noise_law(z / z.norm(dim=1, keepdim=True) * dim**0.5)
    assert sphere["inverted_norm"] == pytest.approx(1) and sphere["inverted_ks_norm"] > 0.4
    point = noise_law(torch.full((50, 4), 0.3))
    assert point["inverted_norm"] == pytest.approx(0.09) and point["inverted_correlation"] == 0
    assert point["inverted_ks_coordinates"] == pytest.approx(stats.norm.cdf(0.3))


def test_an_exact_field_reconstructs_and_gives_real_images_normal_noise():
    """Straight paths are exact in any number of steps; more images than a block, so that padding is cut off."""
    flow = gaussian_flow(StraightGaussianFlow)
    images = flow.forward_map(normal(300, 3))
    noise, back = invert_and_return(flow, images, 1)
    assert torch.allclose(noise, flow.inverse_map(images)) and torch.allclose(back, images)
    assert reconstruction_error(images, back) < 1e-12
    law = noise_law(noise)
    assert law["inverted_norm"] == pytest.approx(1, abs=0.15) and law["inverted_ks_coordinates"] < 1.63 / 900**0.5


def test_the_reconstruction_error_is_that_of_the_solver():
    """The noise is Heun's, at its second order; the way back undoes some of its error, and more steps undo more."""
    flow = gaussian_flow()
    images = flow.forward_map(normal(300, 3))
    found = {steps: invert_and_return(flow, images, steps) for steps in (4, 16, 64)}
    inversion = {steps: (noise - flow.inverse_map(images)).abs().max() for steps, (noise, _) in found.items()}
    assert inversion[4] / 8 > inversion[16] > inversion[64] * 8 > 0
    errors = {steps: reconstruction_error(images, back) for steps, (_, back) in found.items()}
    assert errors[4] / 8 > errors[16] > errors[64] * 8 > 0
    assert reconstruction_error(torch.zeros(2, 2), torch.tensor([[0.1, 0.1], [0.1, -0.1]])) == pytest.approx(0.1)


def test_the_nearest_distance_is_the_smallest():
    samples, references = normal(20, 5), normal(30, 5, seed=1)
    every = np.linalg.norm(samples.numpy()[:, None] - references.numpy()[None], axis=2)
    assert nearest_distance(samples, references).numpy() == pytest.approx(every.min(axis=1))
    assert nearest_distance(references[3:9].float(), references.float()).abs().max() < 1e-6


def test_copies_of_training_or_held_out_images_are_recognised():
    """Positive controls, and the value between them for fresh draws of the law that both are drawn from."""
    training, heldout, fresh = normal(100, 8), normal(100, 8, seed=1), normal(1000, 8, seed=2)
    assert closer_to_training(training, training, heldout) == 1
    assert closer_to_training(heldout, training, heldout) == 0
    assert closer_to_training(fresh, training, heldout) == pytest.approx(0.5, abs=0.06)
    assert nearest_distance(training, training).max() < 1e-6
    # neither closer to one nor to the other
    assert closer_to_training(torch.zeros(7, 8), training.abs(), training.abs()) == pytest.approx(0.5)


def test_fewer_held_out_images_do_not_favour_training_ones():
    """Equal numbers are compared, so a model that treats both alike scores a half, and a copy counts when drawn.

    A subset holds a share h / m of the training images: copies of all of them score 1 there and 1/2 elsewhere.
    """
    training, heldout, fresh = normal(400, 8), normal(100, 8, seed=1), normal(1000, 8, seed=2)
    assert closer_to_training(fresh, training, heldout) == pytest.approx(0.5, abs=0.06)
    assert closer_to_training(heldout, training, heldout) == 0
    assert closer_to_training(training, training, heldout) == pytest.approx((1 + 100 / 400) / 2, abs=0.06)


def params(**changes):
    values = {
        "n_samples": 30,
        "solver": "euler",
        "nfe": [4, 1],
        "adaptive_tolerance": 1e-2,
    }
    values |= {"floor_repeats": 3, "grid_images": 4, "inversion_images": 25, "inversion_steps": 3}
    return EvaluateParams(**(values | changes))


@pytest.fixture
def heldout():
    pixels = torch.rand(10, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return ImageSet(pixels, torch.arange(10) % 4, (1, 4, 4), levels=17, dequantized=True)


@pytest.fixture
def features(images):
    training = classifier.ClassifierTraining(images, FEATURES)
    for _ in training:
        pass
    return training.network.eval()


def evaluate(velocity, images, heldout, features, seed=0, **changes):
    evaluation = Evaluation(velocity, images, heldout, features, params(**changes), seed)
    assert len(list(evaluation)) == len(evaluation)
    return evaluation


def test_every_solver_and_metric_is_measured_with_its_conditions(network, images, heldout, features):
    evaluation = evaluate(network, images, heldout, features)
    found = {(m.metric, m.solver, None if m.solver == "dopri5" else m.nfe) for m in evaluation.measurements}
    scored, memorized = ("frechet_distance", "kernel_distance"), ("nearest_training_distance", "closer_to_training")
    expected = {(metric, "euler", nfe) for metric in (*scored, "variance_ratio") for nfe in (1, 4)}
    expected |= {(metric, "dopri5", None) for metric in (*scored, "variance_ratio")}
    expected |= {(metric, "euler", 4) for metric in ("straightness", *memorized)}
    law = ("inverted_norm", "inverted_ks_norm", "inverted_ks_coordinates", "inverted_correlation")
    inverted = {"reconstruction_error_real", "reconstruction_error_synthetic", *law}
    expected |= {(metric, "heun", 6) for metric in inverted}
    assert found == expected and len(evaluation.measurements) == len(expected)
    assert all(m.n_samples == (25 if m.metric in inverted else 30) for m in evaluation.measurements)
    assert all(m.features == ("classifier" if m.metric in scored else "") for m in evaluation.measurements)
    assert all(m.nfe > 4 for m in evaluation.measurements if m.solver == "dopri5")
    assert set(evaluation.samples) == {"euler_1", "euler_4", "dopri5"}


def test_the_parts_are_named_as_they_are_done(network, images, heldout, features):
    evaluation = Evaluation(network, images, heldout, features, params(), 0)
    assert list(evaluation) == ["euler 1", "euler 4", "inversion", "dopri5"]


def test_inversion_is_of_real_images_and_of_the_models_own_samples(network, images, heldout, features):
    """What is measured is what the functions give for the first images and for the samples of most steps."""
    values = {m.metric: m.value for m in evaluate(network, images, heldout, features).measurements}
    noise, back = invert_and_return(network, images.images[:25], 3)
    assert values["reconstruction_error_real"] == reconstruction_error(images.images[:25], back) > 0
    assert {name: values[name] for name in noise_law(noise)} == noise_law(noise)
    # more images than there are: all of them
    found = evaluate(network, images, heldout, features, inversion_images=1000).measurements
    sizes = {m.metric: m.n_samples for m in found if m.solver == "heun"}
    assert sizes["reconstruction_error_real"] == 40 and sizes["reconstruction_error_synthetic"] == 30
    # the field v = 0 takes images for their own noise
    found = evaluate(lambda x, t: torch.zeros_like(x), images, heldout, features).measurements
    values = {m.metric: m.value for m in found}
    assert values["reconstruction_error_real"] == values["reconstruction_error_synthetic"] == 0
    assert values["inverted_norm"] == pytest.approx(images.images[:25].square().mean().item())


def test_models_of_a_seed_are_given_the_same_noise(images, heldout, features):
    """The field v = 0 returns its noise: equal samples at every NFE, and other ones for another seed."""
    zero = lambda x, t: torch.zeros_like(x)  # noqa: E731
    first, other = (evaluate(zero, images, heldout, features, seed) for seed in (0, 1))
    assert torch.equal(first.samples["euler_1"], first.samples["euler_4"])
    assert torch.equal(first.samples["euler_1"], first.samples["dopri5"])
    assert not torch.equal(first.samples["euler_1"], other.samples["euler_1"])


def test_a_perfect_model_scores_the_floor_and_a_collapsed_one_does_not(images, heldout, features):
    """Positive control: a field that ends at real images, and one that ends at their mean."""

    def ending_at(targets):
        def field(x, t):
            assert len(x) == 256
            return targets[torch.arange(256) % len(targets)] - x if t.item() == 0 else torch.zeros_like(x)

        return field

    def score(targets):
        evaluation = Evaluation(ending_at(targets), images, heldout, features, params(nfe=[1], n_samples=40), 0)
        iterator = iter(evaluation)
        assert [next(iterator), next(iterator)] == ["euler 1", "inversion"]
        return {m.metric: m.value for m in evaluation.measurements}

    perfect, collapsed = score(images.images), score(images.images.mean(dim=0, keepdim=True))
    floors = {m.metric: m.value for m in floor(images, heldout, features, params(n_samples=40))}
    assert perfect["frechet_distance"] == pytest.approx(0, abs=1e-6)
    assert perfect["variance_ratio"] == pytest.approx(1, abs=1e-5)
    assert collapsed["frechet_distance"] > 3 * floors["frechet_distance_floor"] > 0
    assert collapsed["variance_ratio"] == pytest.approx(0, abs=1e-6)
    # the perfect one is perfect by copying, which is measured too; held-out images are no copies
    assert perfect["nearest_training_distance"] < 1e-5 and floors["nearest_training_distance_floor"] > 1
    assert perfect["closer_to_training"] > score(heldout.images)["closer_to_training"] == 0


def test_the_floor_is_measured_with_its_conditions(images, heldout, features):
    first, again = (floor(images, heldout, features, params()) for _ in range(2))
    assert first == again
    found = {m.metric: (m.solver, m.nfe, m.features, m.n_samples) for m in first}
    assert found == {
        "frechet_distance_floor": ("", 0, "classifier", 30),
        "kernel_distance_floor": ("", 0, "classifier", 20),
        "nearest_training_distance_floor": ("", 0, "", 10),
    }
    nearest = torch.cdist(heldout.real, images.real).min(dim=1).values.median().item()
    assert first[2].value == pytest.approx(nearest)


def test_the_floor_is_that_of_samples_of_the_same_size(images, heldout, features):
    """Fewer samples have a higher floor of the biased distance; the unbiased one is about 0, whatever their number."""

    def values(n_samples):
        measured = floor(images, heldout, features, params(n_samples=n_samples, floor_repeats=1000))
        return {m.metric: m.value for m in measured}

    many, few = values(4000), values(10)
    assert 0 < 20 * many["frechet_distance_floor"] < few["frechet_distance_floor"]
    real = features.features(images.real)
    shifted = KernelDistance(real)(features.features((images.real + 0.5).clamp(-1, 1)))
    assert max(abs(many["kernel_distance_floor"]), abs(few["kernel_distance_floor"])) < shifted / 5


def test_a_diverged_model_is_an_error(images, heldout, features):
    with pytest.raises(ReflowbenchError, match="samples of euler at NFE 1 are not finite"):
        evaluate(lambda x, t: x * float("nan"), images, heldout, features)


def two_classes(n, seed):
    """Images whose class depends on their mean."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    pixels = (labels[:, None] - 0.5) + 0.1 * torch.randn(n, 16, generator=draw)
    return ImageSet(pixels.clamp(-1, 1), labels, (1, 4, 4), 17, False)


def test_the_classifier_learns_and_round_trips(tmp_path):
    """It learns from the training images and is scored on others."""
    data, heldout = two_classes(120, 0), two_classes(40, 1)
    training = classifier.ClassifierTraining(data, FEATURES)
    losses = list(training)
    assert losses[-1] < losses[0] and training.accuracy(heldout) == 1.0
    assert training.accuracy(ImageSet(heldout.images, 1 - heldout.labels, (1, 4, 4), 17, False)) == 0.0
    wrong = torch.where(torch.arange(40) < 10, 1 - heldout.labels, heldout.labels)
    assert training.accuracy(ImageSet(heldout.images, wrong, (1, 4, 4), 17, False)) == 0.75
    classifier.save(tmp_path / "c", training.network, data, FEATURES, 0.5)
    loaded, accuracy = classifier.load(tmp_path / "c")
    assert accuracy == 0.5
    assert (loaded.features(data.real) == training.network.features(data.real)).all()


def test_the_classifier_is_trained_on_all_training_images(images):
    """On every row of the set, rounded to grey levels, and on nothing else."""
    seen = []

    class Recorded:
        def __getitem__(self, rows):
            seen.extend(rows.tolist())
            return images.real[rows]

    training = classifier.ClassifierTraining(images, FEATURES)
    assert torch.equal(training._images, images.real)
    training._images = Recorded()
    assert len(list(training)) == len(training) == FEATURES.steps
    assert set(seen) == set(range(40)) and len(seen) == FEATURES.steps * FEATURES.batch
