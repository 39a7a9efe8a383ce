"""Pages as Markdown, which is readable on a terminal too, and as one HTML file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from reflowbench.compare.page import BETTER, WORSE, Block, Heading, Text
from reflowbench.errors import ReflowbenchError
from reflowbench.runtime.artifacts import write_text

_HTML = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left }
.number { text-align: right; font-variant-numeric: tabular-nums }
.better { color: #00704f; font-weight: 600 }
.worse { color: #b33c00; font-weight: 600 }
</style>
</head>
<body>
{% for block in blocks %}
{% if block.level %}<h{{ block.level }}>{{ block.text }}</h{{ block.level }}>
{% elif block.header %}<table>
<tr>{% for cell in block.header %}<th{% if loop.index0 in block.numbers %} class="number"{% endif %}>{{ cell }}</th>
{%- endfor %}</tr>
{% for row in block.rows %}<tr>
{%- for cell in row %}{% set mark = marks.get(cell.rpartition(" ")[2]) %}<td
{%- if mark %} class="{{ mark }}"{% elif loop.index0 in block.numbers %} class="number"{% endif %}>
{{- cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% else %}<p>{{ block.text }}</p>
{% endif %}{% endfor %}</body>
</html>
"""


def markdown(blocks: list[Block]) -> str:
    """Write a page as Markdown; columns are padded to one width."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return "#" * block.level + " " + _escape(block.text)
    if isinstance(block, Text):
        return _escape(block.text)
    cells = [[_escape(cell) for cell in row] for row in (block.header, *block.rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    right = [index in block.numbers for index in range(len(widths))]
    rule = ["-" * (width - 1) + ":" if r else "-" * width for width, r in zip(widths, right, strict=True)]
    padded = [
        [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        for row in (cells[0], rule, *cells[1:])
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def _escape(text: str) -> str:
    """Text that means itself in Markdown, also within a table."""
    return re.sub(r"([\\`*<|])", r"\\\1", " ".join(text.split()))


def html(blocks: list[Block]) -> str:
    """Write a page as one HTML file that loads nothing; all text is escaped."""
    import jinja2

    environment = jinja2.Environment(autoescape=True)
    title = next((block.text for block in blocks if isinstance(block, Heading)), "")
    return environment.from_string(_HTML).render(title=title, blocks=blocks, marks={BETTER: "better", WORSE: "worse"})


FORMATS: dict[str, Callable[[list[Block]], str]] = {".md": markdown, ".html": html}


def writer(path: Path) -> Callable[[list[Block]], None]:
    """Choose a format by a file's name, before the work begins.

    Args:
        path: The file.

    Returns:
        What writes a page to it, whole or not at all.

    Raises:
        ReflowbenchError: If the name asks for a format that there is not.
    """
    if path.suffix not in FORMATS:
        raise ReflowbenchError(f"{path}: cannot write {path.suffix or 'this'}; end the name in {' or '.join(FORMATS)}")
    return lambda blocks: write_text(path, FORMATS[path.suffix](blocks))
