import pytest

from reflowbench import profiles
from tests.conftest import ROOT, on_pixels


@pytest.fixture
def values():
    return on_pixels()


@pytest.fixture
def ablations():
    return profiles.resolve("ablations", ROOT / "profiles")
