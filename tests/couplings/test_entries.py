"""Entries of `methods`: the coupling that each names, and what is recorded of its code."""

import argparse
import hashlib
import shutil
import sys
from subprocess import run

import pytest
import yaml

from reflowbench import profiles
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import entries, registry
from reflowbench.runtime.artifacts import read_json
from stages import coupling
from tests.conftest import ROOT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of couplings/ in which two methods import others, in each way that there is."""
    copy = shutil.copytree(entries.FOLDER, tmp_path / "couplings", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(entries, "FOLDER", copy)
    for name, more in (
        ("rca", "import reflowbench.couplings.neon\nfrom reflowbench.couplings import fresh, shared\n"),
        ("neon", "from .ot import Ot\n\ndef late():\n    from reflowbench.couplings.conic import Conic\n"),
        ("fresh", "from . import accumulate\n"),
        ("conic", "from reflowbench.couplings.rca import Rca\n"),  # in a circle
    ):
        file = copy / f"{name}.py"
        file.write_text(file.read_text() + more)
    return copy


def test_the_record_has_the_code_of_a_coupling_and_what_it_imports_beside_it(folder):
    found = entries.record("rca")
    assert found["coupling"] == "rca"
    assert list(found["sha256"]) == [f"{n}.py" for n in ("accumulate", "conic", "fresh", "neon", "ot", "rca")]
    assert all(sha == hashlib.sha256((folder / n).read_bytes()).hexdigest() for n, sha in found["sha256"].items())
    assert list(entries.record("ocar")["sha256"]) == ["ocar.py"], "couplings/shared is watched as a folder"


def test_only_an_edit_of_its_own_code_changes_a_record(folder):
    before = {name: entries.record(name) for name in entries.names()}
    (folder / "ot.py").write_text((folder / "ot.py").read_text() + "\n# a comment\n")
    (folder / "other.py").write_text("METHOD = None\n")
    changed = {name for name in before if entries.record(name) != before[name]}
    assert changed == {"ot", "neon", "conic", "rca"}


@pytest.fixture
def params(tmp_path):
    values = profiles.resolve("tiny", ROOT / "profiles")
    values["methods"]["rca_fixed"] = values["methods"]["rca"] | {"regenerate_every": 0}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return tmp_path / "params.yaml"


def test_a_variants_record_is_that_of_its_method(params, tmp_path):
    for name in ("rca", "rca_fixed"):
        coupling.main(argparse.Namespace(params=params, method=name, out=tmp_path / f"{name}.json"))
    assert (tmp_path / "rca.json").read_bytes() == (tmp_path / "rca_fixed.json").read_bytes()
    assert read_json(tmp_path / "rca.json") == entries.record("rca")
    with pytest.raises(ReflowbenchError, match=r"methods.rca_real: missing; `reflowbench profile NAME` writes it"):
        coupling.main(argparse.Namespace(params=params, method="rca_real", out=tmp_path / "no.json"))


def test_a_stage_does_not_run_code_that_was_not_recorded(params, tmp_path, folder):
    """Code that is edited while a pipeline runs would be cached as that of before."""
    record = tmp_path / "coupling.json"
    coupling.main(argparse.Namespace(params=params, method="rca_fixed", out=record))
    assert registry.load_entry("rca_fixed", params, record) is registry.load("rca")
    (folder / "ocar.py").write_text("")
    registry.load_entry("rca_fixed", params, record)
    (folder / "rca.py").write_text((folder / "rca.py").read_text() + "\n# a comment\n")
    with pytest.raises(
        ReflowbenchError, match=rf"{record}: the code of rca in .*couplings has changed since; run `dvc"
    ):
        registry.load_entry("rca_fixed", params, record)
    assert registry.load_entry("rca_fixed", params) is registry.load("rca")


def test_the_stage_needs_no_torch():
    code = "import sys, stages.coupling; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
