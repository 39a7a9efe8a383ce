"""The controls as a table for machines and one for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reflowbench.controls.damage.control import MARGIN, Change
from reflowbench.controls.damage.damages import DAMAGES, DamageParams
from reflowbench.controls.damage.expected import BETTER, EXPECTED, IN_BOTH, ROWS, Row
from reflowbench.errors import ReflowbenchError

COLUMNS = (
    "damage",
    "metric",
    "features",
    "undamaged",
    "spread",
    "change",
    "half_width",
    "moved",
    "expected",
    "verdict",
)
_ARROWS = {"up": "↑", "down": "↓"}
_BLIND = "○"
_MISSING = "missing"


def to_csv(changes: Sequence[Change]) -> str:
    """One line per damage and row of the metrics, six digits; empty where there is no value."""
    lines = [",".join(COLUMNS)]
    for c in changes:
        width = math.nan if c.change.half_width is None else c.change.half_width
        found = (c.undamaged, c.spread, c.change.mean, width)
        numbers = ["" if math.isnan(x) else f"{x:.6g}" for x in found]
        lines.append(",".join([c.damage, *c.row, *numbers, c.moved, EXPECTED[c.damage][c.row], c.verdict]))
    return "\n".join(lines) + "\n"


def markdown(changes: Sequence[Change], params: DamageParams) -> str:
    """The report: conditions, table and what each damage goes unseen by.

    Args:
        changes: Of all damages and rows.
        params: The conditions, which it states.

    Returns:
        The page, as Markdown.
    """
    p, n = params, params.n_samples
    cells = {(c.damage, c.row): c for c in changes}
    header = ["metric", "real images", *DAMAGES]
    table = [header, ["---"] + ["--:"] * (len(header) - 1)]
    for row in ROWS:
        first = cells["none", row]
        real = _MISSING if math.isnan(first.undamaged) else f"{_short(first.undamaged)} ± {_short(first.spread)}"
        table.append([_label(row), real] + [_cell(cells[name, row]) for name in DAMAGES])
    wrong = [c for c in changes if c.verdict == "not as expected"]
    unsure = sum(c.verdict == "not asserted" for c in changes)
    parts = [
        "# Metrics on real images that are damaged in known ways",
        f"{p.splits} random splits of the real images into {p.n_reference} of reference, {p.n_heldout} held out and a "
        f"rest that the {n} samples are drawn from. `real images`: mean and standard deviation over splits of "
        f"undamaged samples. Then the change that a damage makes: ↑ or ↓ if the 95 % t interval of the paired "
        f"differences excludes 0 and the change is at least {MARGIN:g} of that standard deviation, {_BLIND} if not. "
        "Bold: the metric takes the damage for better. A question mark: the change is about as large as that standard "
        "deviation, so nothing is asserted; all other cells are, by a test.",
        "`none`: other real images. `classes_dropped`: a random half of the classes only. `imbalanced`: the other half "
        f"has {p.minor:.0%} of the samples. `duplicated`: {math.ceil(n / p.copies)} images, {p.copies} times each; "
        f"`near_duplicated`: with noise of {p.copy_noise:g} each. `shrunk`: deviations from the mean image times "
        f"{p.shrink:g}; `class_means`: from that of the class, times {p.class_shrink:g}. `blurred`: each neighbouring "
        f"pixel weighs {p.blur:g} along both axes. `noisy`: Gaussian noise of {p.noise:g}, the grey levels spanning 2. "
        "`memorised`: images of the reference itself.",
        "\n".join("| " + " | ".join(line) + " |" for line in table),
        "\n".join(_unseen(name, [cells[name, row] for row in ROWS]) for name in DAMAGES if name != "none"),
        f"{len(wrong)} of {len(changes)} cells are not as expected"
        + "".join(f"; {_label(c.row)} of {c.damage} should be {EXPECTED[c.damage][c.row]}" for c in wrong)
        + f"; {unsure} are not asserted.",
    ]
    if any(c.moved == _MISSING for c in changes):
        parts.append(f"`{_MISSING}`: could not be computed in every split, so never as expected.")
    return "\n\n".join(parts) + "\n"


def _label(row: Row) -> str:
    metric, space = row
    return f"{metric} ({space})" if metric in IN_BOTH else metric


def _short(value: float) -> str:
    """Two digits, without an exponent for those that occur."""
    return f"{float(f'{value:.2g}'):g}"


def _cell(c: Change) -> str:
    if c.moved == "missing":
        return _MISSING
    text = _BLIND if c.moved == "same" else f"{_ARROWS[c.moved]} {_short(abs(c.change.mean))}"
    text = f"**{text}**" if _misled(c) else text
    return text + " ?" if c.verdict == "not asserted" else text


def _misled(c: Change) -> bool:
    return BETTER.get(c.row[0]) == c.moved


def _unseen(name: str, changes: Sequence[Change]) -> str:
    blind, missing = (_names([c.row for c in changes if c.moved == moved]) for moved in ("same", _MISSING))
    better = _names([c.row for c in changes if _misled(c)])
    line = f"- `{name}` is not seen by {blind or 'none'}" + (f"; it passes for better by {better}" if better else "")
    return line + (f"; {_MISSING}: {missing}." if missing else ".")


def _names(rows: Sequence[Row]) -> str:
    """The metrics of rows; without the feature space where both are among them."""
    metrics = [metric for metric, _ in rows]
    return ", ".join(dict.fromkeys(row[0] if metrics.count(row[0]) == 2 else _label(row) for row in rows))


BEGIN, END = "<!-- damage -->\n", "<!-- /damage -->\n"


def insert(page: str, report: str) -> str:
    """Put a report, without its title, between the marks of a page.

    Returns:
        The page with the report in place of what was there.

    Raises:
        ReflowbenchError: If the page does not have both marks once.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ReflowbenchError(f"want one {BEGIN.strip()} and one {END.strip()}")
    before, rest = page.split(BEGIN)
    return before + BEGIN + report.split("\n\n", 1)[1] + END + rest.split(END)[1]
