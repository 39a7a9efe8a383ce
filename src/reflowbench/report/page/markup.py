"""HTML in which whatever is not markup is escaped, by type."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_VOID = {"img", "input", "link", "meta"}


class Html(str):
    """Markup. Any other string is text, and is escaped where it meets markup."""

    __slots__ = ()


def text(value: str) -> Html:
    """Escape text; markup stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(value))


def join(parts: Sequence[str], separator: str = "") -> Html:
    """Join markup and text."""
    return Html(text(separator).join(map(text, parts)))


def element(tag: str, *children: str, **attributes: str | int | bool | None) -> Html:
    """An element with its attributes and children.

    Args:
        tag: Name.
        children: Markup, or text to be escaped.
        attributes: `class_` stands for class and `data_nfe` for data-nfe; False and None leave an attribute out.

    Returns:
        The markup.
    """
    parts = []
    for name, value in attributes.items():
        shown = name.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(f" {shown}")
        elif value is not None and value is not False:
            parts.append(f' {shown}="{html.escape(str(value))}"')
    opening = f"<{tag}{''.join(parts)}>"
    return Html(opening) if tag in _VOID else Html(f"{opening}{join(children)}</{tag}>")


def prose(markdown: str) -> Html:
    """Escape text and render the little Markdown that the report's sentences use: emphasis and code."""
    escaped = html.escape(markdown)
    for pattern, tag in ((r"\*\*(.+?)\*\*", "strong"), (r"\*(.+?)\*", "em"), (r"`(.+?)`", "code")):
        escaped = re.sub(pattern, rf"<{tag}>\1</{tag}>", escaped)
    return Html(escaped)


def script_json(value: Any) -> Html:
    """JSON for a script element: without a character that could end it. NaN is refused."""
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return Html(written)


def script_code(code: str) -> Html:
    """JavaScript for a script element: within its strings, `</script` and `<!--` would end or change the element."""
    return Html(re.sub("</(?=script)", r"<\\/", code, flags=re.IGNORECASE).replace("<!--", r"<\!--"))


def options(values: Mapping[str, str], selected: str) -> Html:
    """The options of a select element: labels by value."""
    return join([element("option", shown, value=value, selected=value == selected) for value, shown in values.items()])


def grid(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], attributes: Sequence[Mapping[str, Any]] = ()
) -> Html:
    """A table in a box of its own, so that a wide one scrolls there and not the page.

    Args:
        caption: What the table shows.
        header: Its columns.
        rows: Their cells; the first one names the row.
        attributes: Those of the rows, if they have any.

    Returns:
        The markup.
    """
    head = element("tr", *(element("th", name, scope="col") for name in header))
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in cells), **own)
        for (first, *cells), own in zip(rows, attributes or [{}] * len(rows), strict=True)
    ]
    shown = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", shown, class_="scroll", tabindex=0, role="region", aria_label=caption)
