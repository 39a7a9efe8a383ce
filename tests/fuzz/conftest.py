"""The same examples in every run, and nothing left in the working tree."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", ".scratch/hypothesis")
settings.register_profile(
    "reflowbench",
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("reflowbench")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, the same for all examples of a test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
