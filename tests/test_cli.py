"""The command line starts fast, since `reflowbench track` runs after every `dvc repro`; and it ends well."""

import subprocess
import sys

import pytest

from reflowbench import cli, profiles
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("reflowbench.cli", {"torch", "pandas", "scipy", "dvc", "mlflow", "pydantic", "rich"}),
        ("reflowbench.compare.page, reflowbench.compare.render, reflowbench.compare.revisions", {"torch", "dvc"}),
        ("reflowbench.status.stages, reflowbench.status.view, reflowbench.status.durations", {"torch", "pandas"}),
    ],
)
def test_what_takes_seconds_to_import_is_not(modules, unwanted):
    code = f"import sys, {modules}; print(*sorted({unwanted!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == []


def test_interrupted_a_command_says_so_and_ends_as_shells_expect(monkeypatch, capsys):
    """Also before its work has begun, while modules are imported."""

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("reflowbench.profiles.write_profile", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main(["profile", "tiny"])
    assert ended.value.code == 130 and capsys.readouterr().err == "stopped\n"


def test_without_a_command_it_says_which_there_are(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    said = capsys.readouterr()
    assert "write params.yaml for a profile" in said.out and "error: name a command" in said.err


def test_check_says_what_the_first_run_will_stop_at(tmp_path, monkeypatch, capsys):
    """Images of one's own: neither there yet, nor pinned."""
    monkeypatch.chdir(ROOT)
    values = profiles.resolve("digits", ROOT / "profiles")
    for sha256, warnings in ((None, 2), ("0" * 64, 1)):
        params = tmp_path / f"{warnings}.yaml"
        values["data"] |= {"source": "images", "path": "data/mine", "sha256": sha256}
        params.write_text(profiles.render(values))
        cli.main(["check", "--params", str(params)])
        said = capsys.readouterr().err
        assert said.count("WARNING") == warnings and ("data.sha256 is null" in said) == (sha256 is None)
