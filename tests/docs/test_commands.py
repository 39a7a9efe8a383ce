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

RUN = {
    page: [block for block in blocks(page) if not block.excuse and block.kind in (*COMMANDS, "python")]
    for page in PAGES
}
OF_METHOD = ROOT / "docs/adding-a-method.md"
"""Its Python block is a file of the project, not a script; tests/pipeline/test_tiny_changes.py adds it."""
SOMEBODY = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in
            (("NAME", "A"), ("EMAIL", "a@b"))}  # fmt: skip


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


@pytest.mark.parametrize("page", [page for page in PAGES if RUN[page]], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(guide, page):
    """One after the other, from the main branch."""
    guide.run("git", "checkout", "--quiet", "--force", "main")
    for block in RUN[page]:
        script = block.text
        if block.kind == "python" and page == OF_METHOD:
            continue
        if block.kind == "console":
            script = "\n".join(re.findall(r"^\$ (.+)", script, re.MULTILINE))
        command = ["bash", "-euo", "pipefail", "-c", script]
        if block.kind == "python":
            command = [sys.executable, "-c", script.replace("reflowbench-digits", "reflowbench-tiny")]
        said = guide.run(*command, check=False, MAKEFLAGS=f"VENV={sys.prefix}", **SOMEBODY)
        assert said.returncode == 0 and "Traceback" not in said.stdout + said.stderr, (block.name, said)


def test_the_change_of_the_readme_changes_what_it_says(guide):
    """One parameter, hence RCA's chain and what comes after it, and no other; from the cache, if it ran above."""
    [block] = [block for block in RUN[ROOT / "README.md"] if "dvc params diff  " in block.text]
    guide.run("git", "checkout", "--quiet", "--force", "main")
    change, *_ = block.text.splitlines()
    said = guide.run("bash", "-c", change).stdout
    ran = set(re.findall(r"^(?:Running stage|Stage) '(?:[^':]*:)?([^']+)'", said, re.MULTILINE))
    ran -= set(re.findall(r"^Stage '(?:[^':]*:)?([^']+)' didn't change", said, re.MULTILINE))
    assert "methods.rca.real_fraction" in guide.run("dvc", "params", "diff").stdout
    assert any(name.startswith("rca@") for name in ran)
    assert not [name for name in ran if "reflow-" in name or "ocar-" in name]
    guide.run("git", "checkout", "--quiet", "--force", "main")


def test_more_is_run_than_excused():
    excused = [block for page in PAGES for block in blocks(page) if block.excuse]
    assert sum(map(len, RUN.values())) > len(excused) and all(len(block.excuse) > 15 for block in excused)
