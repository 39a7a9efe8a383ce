import pytest

from reflowbench import profiles
from reflowbench.couplings.shared import registry
from tests.conftest import ROOT
from tests.dag.resolved import resolved


@pytest.fixture(scope="session")
def stages(tmp_path_factory):
    """Stages of the pipeline with every method that there is, of the study, the controls and the theory."""
    profile = profiles.resolve("tiny", ROOT / "profiles")
    methods = registry.names()
    profile["grid"] |= {"methods": methods, "stages": registry.stages_of(methods)}
    return resolved(tmp_path_factory.mktemp("dag"), profile)
