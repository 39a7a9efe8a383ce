import shutil

import pytest
import yaml

from reflowbench import profiles
from reflowbench.methods import registry
from tests.conftest import ROOT
from tests.dag.resolved import VARIANTS, resolved


@pytest.fixture(scope="session")
def stages(tmp_path_factory):
    """Stages of the pipeline with every method and two variants, of the ablations, the controls and the theory."""
    folder = tmp_path_factory.mktemp("profiles")
    shutil.copytree(ROOT / "profiles", folder, dirs_exist_ok=True)
    every = {
        "extends": "tiny",
        "grid": {"methods": [*registry.names(), *VARIANTS], "rounds": [2]},
        "methods": {name: {"method": method} for name, method in VARIANTS.items()},
    }
    (folder / "every.yaml").write_text(yaml.safe_dump(every))
    return resolved(tmp_path_factory.mktemp("dag"), profiles.resolve("every", folder))
