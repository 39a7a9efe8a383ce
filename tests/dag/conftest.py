import pytest

from reflowbench import profiles
from reflowbench.methods import registry
from tests.conftest import ROOT
from tests.dag.resolved import VARIANTS, resolved


@pytest.fixture(scope="session")
def stages(tmp_path_factory):
    """Stages of the pipeline with every method and two variants, of the ablations, the controls and the theory."""
    profile = profiles.resolve("tiny", ROOT / "profiles")
    couplings = {name: name for name in registry.names()} | VARIANTS
    profile["methods"] |= {name: profile["methods"][method] for name, method in VARIANTS.items()}
    profile["grid"] |= {"methods": list(couplings), "stages": registry.stages_of(couplings)}
    return resolved(tmp_path_factory.mktemp("dag"), profile)
