"""Every command and every Python block of the pages runs, in a copy of the project on the tiny profile.

But those that a comment before the block excuses (`<!-- not run: REASON -->`), which readers do not see.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.pages import COMMANDS, PAGES, blocks
from tests.pipeline.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.long]

RUN = [block for page in PAGES for block in blocks(page) if not block.excuse and block.kind in (*COMMANDS, "python")]
OF_METHOD = "docs/adding-a-method.md"
"""Its Python block is a file of the project, not a script; tests/pipeline/test_tiny_changes.py adds it."""


@pytest.fixture(scope="module")
def guide(first, tmp_path_factory):
    """Two branches with results, as docs/comparing.md supposes, and MLflow's mirror; on the second one."""
    project = Project(tmp_path_factory.mktemp("guide") / "project").take(first[0])
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, project.folder)
    for name in ("pyproject.toml", "requirements.lock"):  # older than the environment: make installs nothing
        os.utime(project.folder / name, (0, 0))
    assert (Path(sys.prefix) / ".installed").exists(), "run the tests by `make`"
    project.run("git", "checkout", "--quiet", "-B", "main")
    project.repro()
    project.commit("results")
    project.run("git", "checkout", "--quiet", "-b", "more-real")
    project.set_params(methods__rca__real_fraction=0.75)
    project.repro()
    project.commit("more real pairs")
    return project


@pytest.mark.parametrize("block", RUN, ids=lambda block: block.name)
def test_a_block_runs(guide, block):
    if not block.name.startswith("docs/comparing.md"):
        guide.run("git", "checkout", "--quiet", "--force", "main")
        guide.run("reflowbench", "profile", "tiny")
    if block.kind == "python":
        if block.name.startswith(OF_METHOD):
            pytest.skip("a file of the project")
        said = guide.run(sys.executable, "-c", block.text.replace("reflowbench-digits", "reflowbench-tiny"))
    else:
        prompted = re.findall(r"^\$ (.+)", block.text, re.MULTILINE)
        script = "\n".join(prompted) if block.kind == "console" else block.text
        said = guide.run("bash", "-euo", "pipefail", "-c", script, MAKEFLAGS=f"VENV={sys.prefix}")
    assert "Traceback" not in said.stdout + said.stderr


def test_the_change_of_the_readme_changes_what_it_says(guide):
    """One parameter, hence RCA's chain and what comes after it, and no other."""
    [block] = [block for block in RUN if "dvc params diff  " in block.text and block.page.name == "README.md"]
    guide.run("git", "checkout", "--quiet", "--force", "main")
    change, *_ = block.text.splitlines()
    guide.run("bash", "-c", change)
    assert "methods.rca.real_fraction" in guide.run("dvc", "params", "diff").stdout
    stale = Project.stages_that_ran(guide.run("dvc", "repro", "--dry").stdout)
    assert any(name.startswith("rca@") for name in stale)
    assert not [name for name in stale if "reflow-" in name or "ocar-" in name]
    guide.run("git", "checkout", "--quiet", "--force", "main")


def test_commands_are_run_and_excuses_are_few():
    skipped = [block for page in PAGES for block in blocks(page) if block.excuse]
    assert len(RUN) > len(skipped) and all(len(block.excuse) > 15 for block in skipped)
