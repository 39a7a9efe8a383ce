import math

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

from reflowbench.metrics.classes import class_metrics, class_score, entropy, histogram
from reflowbench.metrics.measurement import UndefinedError

RNG = np.random.default_rng(0)


def sure(*classes, of):
    """Probabilities that are all of one class each."""
    return np.eye(of)[list(classes)]


def softmax(logits):
    return torch.from_numpy(logits).softmax(dim=1).numpy()


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_entropy_is_the_logarithm_of_the_number_of_equal_shares(classes):
    assert entropy(np.full(classes, 1 / classes)) == pytest.approx(math.log(classes))
    assert str(entropy(np.eye(10)[3])) == "0.0"  # 0 log 0 is 0, and tables show no -0.0


def test_entropy_adds_up_over_independent_parts():
    a, b = RNG.dirichlet(np.ones(5)), RNG.dirichlet(np.ones(4))
    assert entropy(np.outer(a, b).flatten()) == pytest.approx(entropy(a) + entropy(b))


def test_the_histogram_counts_the_most_probable_classes():
    probabilities = np.array([[0.6, 0.4, 0.0], [0.4, 0.6, 0.0], [0.1, 0.9, 0.0], [0.3, 0.4, 0.3]])
    assert histogram(probabilities).tolist() == [0.25, 0.75, 0.0]


@pytest.mark.parametrize("classes", [1, 3, 10])
def test_the_score_of_sure_and_even_samples_is_the_number_of_classes(classes):
    assert class_score(sure(*range(classes), *range(classes), of=classes)) == pytest.approx(classes)


def test_the_score_of_samples_that_are_all_the_same_is_one():
    for row in (np.eye(4)[1], np.full(4, 0.25), np.array([0.7, 0.3, 0, 0])):
        assert class_score(np.tile(row, (20, 1))) == pytest.approx(1)


def test_the_score_of_sure_samples_is_the_effective_number_of_classes():
    """Shares 1/2, 1/4, 1/4: exp of an entropy of 3/2 log 2, however many other classes there are."""
    assert class_score(sure(0, 0, 1, 2, of=10)) == pytest.approx(2**1.5)


def test_the_score_depends_on_neither_order():
    p = RNG.dirichlet(np.full(6, 0.3), size=50)
    assert 1 < class_score(p) < 6
    assert class_score(p[::-1]) == pytest.approx(class_score(p))
    assert class_score(p[:, ::-1]) == pytest.approx(class_score(p))
    assert class_score(np.concatenate([p, p])) == pytest.approx(class_score(p))


@pytest.mark.parametrize(("n", "classes", "scale"), [(1, 3, 1), (200, 10, 0.1), (200, 10, 5), (1000, 1008, 3)])
def test_the_score_is_torch_fidelitys_inception_score_of_one_split(n, classes, scale):
    logits = scale * RNG.normal(size=(n, classes))
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits=1)[KEY_METRIC_ISC_MEAN]
    assert class_score(softmax(logits)) == pytest.approx(theirs, rel=1e-6)


def test_a_class_is_missing_below_a_tenth_of_its_real_share():
    """Real shares 1/2, 1/4, 1/4, 0 of 100 samples: 5 of the first are enough, 2 of the second are not."""
    real = np.array([0.5, 0.25, 0.25, 0.0])

    def missing(*counts):
        return class_metrics(np.repeat(np.eye(4), counts, axis=0), real)[2]

    assert missing(50, 25, 25, 0) == 0  # what is not there in reality is not missing
    assert missing(5, 3, 92, 0) == 0
    assert missing(4, 3, 93, 0) == 1
    assert missing(5, 2, 93, 0) == 1
    assert missing(0, 0, 0, 100) == 3


def test_the_metrics_of_samples_come_in_their_order():
    p = softmax(3 * RNG.normal(size=(100, 5)))
    assert class_metrics(p, np.full(5, 0.2)) == (class_score(p), entropy(histogram(p)), 0)
    # 80 % of one class and sure of nothing: the entropy of the histogram does not see the doubt, the score does
    doubtful = np.where(np.arange(10)[:, None] < 8, [0.51, 0.49], [0.49, 0.51])
    score, found, missing = class_metrics(doubtful, np.full(2, 0.5))
    assert score == pytest.approx(1, abs=1e-3) and missing == 0
    assert found == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))


def test_no_samples_have_no_classes():
    with pytest.raises(UndefinedError, match="no sample"):
        class_metrics(np.zeros((0, 3)), np.full(3, 1 / 3))
