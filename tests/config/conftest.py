import pytest

from reflowbench import profiles
from tests.conftest import ROOT


@pytest.fixture
def values():
    return profiles.resolve("digits", ROOT / "profiles")


@pytest.fixture
def ablations():
    return profiles.resolve("ablations", ROOT / "profiles")
