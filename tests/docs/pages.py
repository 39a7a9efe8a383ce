"""The pages of the repository as their tests read them."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
COMMANDS = ("bash", "console")
KINDS = (*COMMANDS, "python", "yaml", "text", "diff")
_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<excuse>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block, with the reason why it is not run where there is one."""

    page: Path
    line: int
    kind: str
    text: str
    excuse: str | None

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page in order."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["kind"], found["text"], found["excuse"])
        for found in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return _FENCE.sub("", page.read_text())


def inline(page: Path) -> list[str]:
    """What stands between backticks in a page's prose."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]
