import pytest

from reflowbench import profiles
from tests.conftest import ROOT


@pytest.fixture
def values():
    return profiles.resolve("digits", ROOT / "profiles")


@pytest.fixture
def study():
    return profiles.resolve("ablations", ROOT / "profiles")
