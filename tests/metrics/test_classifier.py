import numpy as np
import pytest
import torch

from reflowbench.data.images import ImageSet
from reflowbench.errors import ReflowbenchError
from reflowbench.metrics.features import classifier
from reflowbench.runtime.params import FeaturesParams

FEATURES = FeaturesParams(dim=8, steps=30, batch=16, lr=1e-3, seed=0)


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
    assert (loaded.probabilities(data.real) == training.network.probabilities(data.real)).all()


def test_a_training_is_that_of_its_seed_and_leaves_torchs_randomness_alone():
    data, before = two_classes(120, 0), torch.random.get_rng_state()
    losses = [list(classifier.ClassifierTraining(data, FEATURES.model_copy(update={"seed": s}))) for s in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_training_that_diverges_names_the_step_and_the_remedy():
    training = classifier.ClassifierTraining(two_classes(120, 0), FEATURES.model_copy(update={"lr": 1e30}))
    with pytest.raises(
        ReflowbenchError, match=r"^training of the feature classifier diverged at step \d+ \(loss "
    ) as error:
        list(training)
    assert str(error.value).endswith("); no weights were written: lower features.lr")


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


def test_features_and_probabilities_are_those_of_the_network():
    """The features are what the head reads, before its rectifier; probabilities are of all classes and right."""
    heldout = two_classes(300, 1)
    training = classifier.ClassifierTraining(two_classes(120, 0), FEATURES)
    list(training)
    network = training.network.eval()
    with torch.inference_mode():
        logits = network(heldout.real)
        again = network.head(torch.from_numpy(network.features(heldout.real)).float().relu())
    assert torch.allclose(again, logits, atol=1e-5)
    probabilities = network.probabilities(heldout.real)
    assert probabilities.shape == (300, 2) and probabilities.dtype == np.float64
    assert probabilities == pytest.approx(logits.double().softmax(dim=1).numpy(), abs=1e-6)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-14)  # softmax in float64
    assert (probabilities.argmax(axis=1) == heldout.labels.numpy()).all()
    assert (network.probabilities(heldout.real[70:71]) == probabilities[70:71]).all()  # whatever is beside it


def test_another_file_is_not_a_classifier(tmp_path, images):
    images.save(tmp_path / "x")
    with pytest.raises(ReflowbenchError, match="not a feature classifier"):
        classifier.load(tmp_path / "x")
