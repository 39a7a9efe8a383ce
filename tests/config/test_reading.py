"""A stage checks what it reads; `reflowbench check` checks the whole file."""

import copy
import importlib

import pytest

from reflowbench import cli, profiles
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime import config, stage
from reflowbench.runtime.params import Params
from tests.conftest import ROOT

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", STAGES)
def test_a_fault_in_a_group_that_a_stage_does_not_read_is_no_fault_of_the_stage(values, tmp_path, name):
    script = importlib.import_module(f"stages.{name}")
    keys = getattr(script, "KEYS", ())
    read = {config.group_path(kind) for kind in script.GROUPS} | set(keys)
    path = tmp_path / "params.yaml"
    path.write_text(profiles.render(values | dict.fromkeys(values.keys() - read, -1)))
    for kind in script.GROUPS:
        assert config.load_group(kind, path).model_dump(exclude_unset=True) == values[config.group_path(kind)]
    part = config.load_part(*keys, path=path)
    assert all(getattr(part, key) for key in keys if key in values)
    with pytest.raises(ReflowbenchError) as error:
        config.load_params(path)
    faults = str(error.value).splitlines()
    assert [fault.partition(" = ")[0] for fault in faults] == [
        f"{path}: {other}" for other in Params.model_fields if other in values.keys() - read
    ]


def test_the_first_stage_runs_with_a_fault_of_a_later_one_that_the_check_names(values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage.signal, "signal", lambda *_: None)
    values["methods"]["rca"]["real_fraction"] = 5
    values["round"]["lr"] = -1.0
    (tmp_path / "params.yaml").write_text(profiles.render(values))
    script = importlib.import_module("stages.prepare_data")
    made = ["--out", "train.safetensors", "--heldout", "heldout.safetensors"]
    stage.run_stage(
        script.main, copy.deepcopy(script.PARSER), [*made, "--params", str(tmp_path / "params.yaml")],
        outputs=("out", "heldout"),
    )  # fmt: skip
    assert (tmp_path / "train.safetensors").exists() and (tmp_path / "heldout.safetensors").exists()
    with pytest.raises(SystemExit, match=r"ERROR: params.yaml: round.lr = -1.0"):
        cli.main(["check"])
    values["round"]["lr"] = 0.1
    (tmp_path / "params.yaml").write_text(profiles.render(values))
    with pytest.raises(SystemExit, match=r"ERROR: params.yaml: methods.rca.real_fraction = 5"):
        cli.main(["check"])
