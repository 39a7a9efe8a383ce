import shutil

import pytest

from reflowbench import profiles
from tests.conftest import ROOT


@pytest.fixture
def values(tmp_path_factory):
    """The defaults on pixels, with three seeds and four rounds."""
    folder = tmp_path_factory.mktemp("profiles")
    shutil.copytree(ROOT / "profiles", folder, dirs_exist_ok=True)
    (folder / "plain.yaml").write_text("grid: {n_rounds: 4, seeds: [0, 1, 2]}")
    return profiles.resolve("plain", folder)


@pytest.fixture
def ablations():
    return profiles.resolve("ablations", ROOT / "profiles")
