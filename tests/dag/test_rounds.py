"""rounds/ROUND/dvc.yaml: what is committed, what the command writes, and what the check names."""

import shutil

import pytest
import yaml

from reflowbench import cli, profiles
from reflowbench.methods import entries, rounds
from reflowbench.runtime import config
from tests.conftest import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The committed parameters and rounds, in a folder of its own."""
    shutil.copytree(ROOT / "rounds", tmp_path / "rounds")
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def texts(folder):
    return {path.parent.name: path.read_text() for path in (folder / "rounds").glob("*/dvc.yaml")}


def set_params(**grid):
    values = config.read_yaml(config.PARAMS_FILE)
    values["grid"] |= grid
    config.PARAMS_FILE.write_text(profiles.render(values))


def refused(command):
    """The message by which a command fails."""
    with pytest.raises(SystemExit) as stop:
        cli.main(command)
    return str(stop.value.code)


def test_the_command_writes_what_is_committed(project, capsys):
    committed = texts(project)
    assert sorted(committed) == ["1", "2", "3", "4"]
    for folder in committed:
        (project / "rounds" / folder / "dvc.yaml").unlink()
    cli.main(["rounds"])
    assert texts(project) == committed == texts(ROOT)
    assert capsys.readouterr().out.startswith("wrote rounds/1 to rounds/4 for continued, reflow, ")
    cli.main(["check"])


def test_a_profile_is_written_with_its_rounds(project):
    cli.main(["profile", "tiny"])
    assert list(texts(project)) == ["1"]
    cli.main(["check"])
    cli.main(["profile", "digits"])
    assert texts(project) == texts(ROOT)
    cli.main(["profile", "tiny", "--out", "other.yaml"])
    assert texts(project) == texts(ROOT), "those of params.yaml alone"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda path: path.unlink(), "rounds/3/dvc.yaml: missing; run `reflowbench rounds`"),
        (
            lambda path: path.write_text(path.read_text().replace("rca_fixed, ", "")),
            "rounds/3/dvc.yaml: differs from what its template gives for `methods` of params.yaml; run `reflowbench",
        ),
    ],
)
def test_the_check_names_a_file_that_is_missing_or_edited(project, edit, message):
    edit(project / "rounds/3/dvc.yaml")
    assert message in refused(["check"])
    cli.main(["rounds"])
    cli.main(["check"])


def test_the_check_names_rounds_that_the_parameters_have_and_the_files_have_not(project):
    set_params(rounds=[1, 5])
    assert "rounds/5/dvc.yaml: missing" in refused(["check"])


def test_fewer_rounds_or_methods_of_the_grid_need_no_other_files(project):
    """So `dvc exp run -S` may set both."""
    set_params(rounds=[2], methods=["rca", "reflow"])
    cli.main(["check"])


def test_folders_of_later_rounds_are_removed_with_their_lock(project):
    (project / "rounds/3/dvc.lock").write_text("schema: '2.0'\n")
    (project / "rounds/2/dvc.lock").write_text("schema: '2.0'\n")
    (project / "rounds/notes").mkdir()
    set_params(rounds=[1, 2])
    cli.main(["rounds"])
    left = sorted(path.relative_to(project).as_posix() for path in (project / "rounds").rglob("*"))
    assert [path for path in left if not path.startswith(("rounds/1", "rounds/2/dvc.yaml"))] == [
        "rounds/2",
        "rounds/2/dvc.lock",
        "rounds/dvc.yaml.j2",
        "rounds/notes",
    ]


def test_a_wrong_method_writes_nothing(project):
    values = config.read_yaml(config.PARAMS_FILE)
    values["methods"]["rca"]["real_fraction"] = 2
    config.PARAMS_FILE.write_text(profiles.render(values))
    before = texts(project)
    assert "params.yaml: methods.rca.real_fraction = 2: input should be" in refused(["rounds"])
    assert texts(project) == before


def test_a_coupling_depends_on_the_files_that_it_imports(tmp_path, monkeypatch):
    """In each way that there is, also through another one and in a circle."""
    folder = shutil.copytree(entries.FOLDER, tmp_path / "couplings")
    for name, more in (
        ("rca", "import reflowbench.couplings.neon\nfrom reflowbench.couplings import fresh, shared\n"),
        ("neon", "from .ot import Ot\n\ndef late():\n    from reflowbench.couplings.conic import Conic\n"),
        ("fresh", "from . import accumulate\n"),
        ("conic", "from reflowbench.couplings.rca import Rca\n"),
    ):
        with (folder / f"{name}.py").open("a") as file:
            file.write(more)
    monkeypatch.setattr(entries, "FOLDER", folder)
    stages = yaml.safe_load(rounds.render(config.load_params(ROOT / "params.yaml"), ROOT)[1])["stages"]
    inside = "src/reflowbench/couplings/"
    for group, names in (("rca", ["accumulate", "conic", "fresh", "neon", "ot", "rca"]), ("ocar", ["ocar"])):
        found = [dep for dep in stages[group]["deps"] if dep.startswith(inside) and dep != f"{inside}shared"]
        assert found == [f"{inside}{name}.py" for name in names]
