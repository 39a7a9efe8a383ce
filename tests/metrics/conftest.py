import pytest

from tests.metrics.test_reference import image_set, trained_classifier

SHAPE = (1, 4, 4)


@pytest.fixture
def heldout():
    return image_set(10, SHAPE, seed=1)


@pytest.fixture
def classifier():
    return trained_classifier(SHAPE)
