"""What pages name is there: commands and options, messages, files, versions."""

import re
import subprocess
import tomllib

import pytest
import yaml

from reflowbench.cli import parser
from reflowbench.methods import registry
from tests.conftest import ROOT
from tests.docs import reference
from tests.docs.pages import COMMANDS, KINDS, PAGES, blocks, inline, prose

YOURS = "NAME|anneal"
"""Parts of names of what a reader adds."""
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@BY_NAME
def test_every_block_says_what_it_is(page):
    """A command cannot hide in an indented block, which no test runs."""
    found = blocks(page)
    assert page.read_text().count("\n```") in (2 * len(found), 2 * len(found) - 1)
    assert {block.kind for block in found} <= set(KINDS)
    assert not re.search(r"^[ \t]+(```|~~~)|^~~~", page.read_text(), re.MULTILINE), "in a list it would not be seen"
    assert not re.search(r"\n\n {4}\S", re.sub(r"^(- |\d+\. ).*(\n+ +.*)*", "", prose(page), flags=re.MULTILINE))
    assert not [block.name for block in found if block.excuse and block.kind not in COMMANDS]


@BY_NAME
def test_commands_within_sentences_exist(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = {name: set(sub._option_string_actions) for name, sub in subcommands().items()}
    excused = [line.partition("#")[0].strip() for block in blocks(page) if block.excuse for line in lines_of(block)]
    for code in [*inline(page), *filter(None, excused)]:
        words = code.split()
        if words[0] == "make" and len(words) > 1 and words[1].islower() and "=" not in words[1]:
            assert words[1] in targets, code
        if words[0] == "reflowbench" and len(words) > 1 and words[1].isalpha() and words[1].islower():
            assert words[1] in commands, code
            options = [word for word in words[2:] if word.startswith("--")]
            assert {option.partition("=")[0] for option in options} <= commands[words[1]], code
        if words[:2] == ["python", "-m"] and words[2].startswith(("benchmarks.", "tests.", "stages.", "reflowbench.")):
            path = ROOT / ("src" if words[2].startswith("reflowbench") else "") / words[2].replace(".", "/")
            if path.name.islower():
                assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), code


@BY_NAME
def test_files_within_sentences_exist(page):
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    tops = {name.split("/")[0] for name in tracked if "/" in name} - {"reports"}
    for code in inline(page):
        if (
            code.split("/")[0] in tops
            and re.fullmatch(r"[\w./-]+\.\w+", code)
            and not re.search("NAME|ROUND|anneal", code)
        ):
            assert (ROOT / code).exists(), code  # anneal: the method that a reader adds


def test_messages_of_the_troubleshooting_page_are_those_of_the_code():
    """The first column of each table, but what other programs say (`DVC:`) and what a shell does."""
    page = (ROOT / "docs/troubleshooting.md").read_text()
    sources = [*(ROOT / "src").rglob("*.py"), ROOT / "Makefile"]
    code = " ".join(re.sub(r'"\s*\n\s*f?"', "", file.read_text()) for file in sources)
    seen = [row.split("|")[1] for row in page.splitlines() if row.startswith("| ") and "DVC" not in row.split("|")[1]]
    messages = [text for cell in seen for text in re.findall(r"`([^`]+)`", cell) if " " in text]
    others = {"No module named venv", "ensurepip is not available", "reflowbench: command not found"}
    assert len(messages) > 8
    assert not [text for text in messages if text not in others and text.removeprefix("ERROR: ") not in code]


def test_the_methods_of_the_page_are_those_there_are():
    """A new one need not be there; an old one that goes has to go there too."""
    named = re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs/methods.md").read_text(), re.MULTILINE)
    assert set(named) <= set(registry.names()) and len(named) == 10


def test_the_reference_is_that_of_the_code():
    """But for methods that are new."""
    page = reference.PAGE.read_text()
    methods = re.findall(r"^### `(\w+)`$", page.partition(reference.METHODS)[2], re.MULTILINE)
    assert len(methods) == 10
    assert page == reference.render(methods), "write it anew: python -m tests.docs.reference"


def test_every_parameter_says_what_it_means():
    """But the name of a network, and blocks, which say it above their own."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .* \|(.*)\|$", reference.PAGE.read_text(), re.MULTILINE)
    assert len(rows) > 140
    assert {name for name, values, meaning in rows if not meaning.strip() and "block" not in values} == {"name"}


def test_every_direct_dependency_has_a_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for group in project["optional-dependencies"].values() for name in group),
    ]
    _, _, table = (ROOT / "docs/architecture.md").read_text().partition("## Dependencies, and why")
    reasons = " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| ")).lower()
    names = [re.match(r"[\w.-]+", requirement)[0].lower() for requirement in wanted]
    missing = [name for name in names if name not in reasons and not name.startswith("types-")]
    assert not [name for name in missing if name != "pandas-stubs"]


def test_the_citation_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"] and citation["license"] == project["license"]
    assert (
        f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()
        or "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()
    )


def tagged():
    """Whether this commit is released."""
    found = subprocess.run(["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    return found.stdout.startswith("v")


def lines_of(block):
    return block.text.replace("\\\n", " ").splitlines()


def subcommands():
    [choices] = [action.choices for action in parser()._actions if action.choices]
    return choices
