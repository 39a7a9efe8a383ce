"""The command line starts fast: `reflowbench track` runs after every `dvc repro`."""

import subprocess
import sys

import pytest


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
