"""Entries of `methods`: the coupling that each names."""

import sys
from subprocess import run

import pytest

from reflowbench import profiles
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import registry
from tests.conftest import ROOT


def test_a_variant_is_of_the_method_that_it_names(tmp_path):
    values = profiles.resolve("tiny", ROOT / "profiles")
    values["methods"]["rca_fixed"] = values["methods"]["rca"] | {"regenerate_every": 0}
    path = tmp_path / "params.yaml"
    path.write_text(profiles.render(values))
    assert registry.load_entry("rca_fixed", path) is registry.load_entry("rca", path) is registry.load("rca")
    with pytest.raises(ReflowbenchError, match=r"methods.rca_real: missing; `reflowbench profile NAME` writes it"):
        registry.load_entry("rca_real", path)


def test_names_of_methods_need_no_torch():
    """Commands and tests ask for them often."""
    code = "import sys; from reflowbench.methods import entries; entries.names(); sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
