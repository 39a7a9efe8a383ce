"""theory/params.yaml: strict, and every parameter says what it means."""

import copy

import pytest
import yaml

from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.config import read_yaml
from reflowbench.theory.params import TheoryParams, load_theory
from tests.config.checks import put
from tests.conftest import ROOT


@pytest.mark.parametrize("name", ["theory/params.yaml", "tests/theory/tiny.yaml"])
def test_the_files_of_the_repository_are_valid(name):
    assert "continued" in load_theory(ROOT / name).methods


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("theory_gaussian.network.hidden", 0, "theory_gaussian.network.hidden = 0: input should be greater than"),
        ("theory_gaussian.network.name", "cnn", "theory_gaussian.network.name = 'cnn': input should be one of 'mlp'"),
        ("theory_dae.spectrum", [0.5, 1.0], "theory_dae = {"),
        ("theory_phase.noise", [1.0, 0.1], "noise must ascend"),
        ("theory_gausian", {}, "theory_gausian: unknown parameter; allowed here: methods, theory_dae,"),
        ("methods", {}, "methods = {}: dictionary should have at least 1 item"),
        ("methods.rca.share", 1.0, "methods.rca.share: unknown parameter; allowed here: method, params"),
    ],
)
def test_bad_values_are_named(tmp_path, path, value, message):
    values = copy.deepcopy(read_yaml(ROOT / "tests/theory/tiny.yaml"))
    put(values, path, value)
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(ReflowbenchError) as error:
        load_theory(file)
    assert message in str(error.value) and str(error.value).startswith(f"{file}: ")


def test_every_parameter_says_what_it_means():
    schema = TheoryParams.model_json_schema()
    for block in (schema, *schema["$defs"].values()):
        for name, entry in block["properties"].items():
            assert "description" in entry or "$ref" in entry or name in ("name", "network"), (block["title"], name)
