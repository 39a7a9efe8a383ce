"""The tables of docs/performance.md, from benchmarks/results.json."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parent.parent / "docs/performance.md"
_PLACE = re.compile(r"(<!-- (?P<name>[a-z.]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = Mapping[str, Any]


def render(page: str, results: Mapping[str, Any]) -> str:
    """The page with each table `<!-- NAME --> ... <!-- end -->` as the results have it."""

    def table(place: re.Match[str]) -> str:
        found = results.get(place["name"])
        if found is None:
            return f"{place[1]}Not measured yet: `make bench ONLY={place['name']}`.\n{place[3]}"
        text = "\n".join(_TABLES.get(place["name"], _comparisons)(found["rows"]))
        return f"{place[1]}{text}\n\n{_machine(found['machine'])}\n{place[3]}"

    return _PLACE.sub(table, page)


def _machine(facts: Row) -> str:
    return (
        f"{facts['processor']}, {facts['cores']} cores, torch {facts['torch']} with {in_words(facts['threads'])}, "
        f"Python {facts['python']}; {facts['date']}, at {facts['commit']}."
    )


def in_words(count: int) -> str:
    """A number of threads."""
    return "1 thread" if count == 1 else f"{count} threads"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = ["---", *["--:"] * (len(head) - 1)]
    return [f"| {' | '.join(line)} |" for line in (head, marks, *rows)]


def _comparisons(rows: Sequence[Row]) -> list[str]:
    head = ("ours", "peer", "ours, median", "peer, median", "ratio, median", "min", "max", "besides")
    return _table(
        head,
        [
            (
                row["what"],
                row["peer"],
                *(_size(median(row["seconds"][side]), row["facts"].get("unit", "")) for side in ("ours", "peer")),
                *(f"{row['ratio'][key]:.2f}" for key in ("median", "min", "max")),
                "; ".join(f"{name}: {_short(v)}" for name, v in row["facts"].items() if name != "unit"),
            )
            for row in rows
        ],
    )


def _size(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB"
    if unit:
        return f"{value:.4g} {unit}"
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _parts(rows: Sequence[Row]) -> list[str]:
    head = ("part", "ms a step", "share")
    return _table(head, [(r["part"], f"{r['milliseconds']:.2f}", f"{r['share']:.0%}") for r in rows])


def _ways(rows: Sequence[Row]) -> list[str]:
    head = ("a pass", "images", "ms", "relative difference to the first")
    return _table(
        head,
        [
            (
                row["what"],
                str(row["images"]),
                f"{1e3 * row['seconds']:.1f}",
                "" if row["difference"] is None else f"{row['difference']:.1g}",
            )
            for row in rows
        ],
    )


def _growth(rows: Sequence[Row]) -> list[str]:
    head = ("what", "by", "sizes", "seconds", "time grows as size to the", "memory, MB", "memory grows as size to the")
    return _table(
        head,
        [
            (
                row["what"],
                row["by"],
                ", ".join(map(str, row["sizes"])),
                ", ".join(f"{value:.2g}" for value in row["seconds"]),
                f"{row['time_exponent']:.2f}",
                ", ".join(f"{value / 1e6:.0f}" for value in row["bytes"]),
                "too little to tell" if row["memory_exponent"] is None else f"{row['memory_exponent']:.2f}",
            )
            for row in rows
        ],
    )


def _runs(rows: Sequence[Row]) -> list[str]:
    head = ("part", "stages", "wall, s", "computation", "starts of Python, imports", "DVC: graph, hashes, lock, cache")
    return _table(
        head,
        [
            (
                row["part"],
                str(row["stages"]),
                f"{row['wall']:.1f}",
                *(f"{row[key]:.0f}" if key in row else "" for key in ("computation", "starts", "dvc")),
            )
            for row in rows
        ],
    )


def _whole(rows: Sequence[Row]) -> list[str]:
    parts = [row for row in rows if "wall" in row]
    scripts = [row for row in rows if "script" in row]
    means = [row for row in rows if "mean" in row]
    table = _runs(parts)
    table += [
        f"\nOf the last, {row['finish']:.0f} s are the `dvc repro` that gathers. Entries of dvc.lock that differ from "
        f"those of `dvc repro` alone: {row['differing']}."
        for row in parts
        if "finish" in row
    ]
    table += ["", *_table(
        ("script", "part", "runs", "seconds", "of which starts"),
        [(r["script"], r["part"], str(r["stages"]), f"{r['seconds']:.0f}", f"{r['starts']:.0f}") for r in scripts],
    )]  # fmt: skip
    table += ["", *_table(
        ("stages that make pairs or train, of", "runs", "mean, s"),
        [(f"{row['by']} {row['value']}", str(row["stages"]), f"{row['mean']:.2f}") for row in means],
    )]  # fmt: skip
    return table


_TABLES: dict[str, Callable[[Sequence[Row]], list[str]]] = {
    "parts": _parts,
    "scaling": _growth,
    "whole": _whole,
    "cores": _runs,
    "gpu.levers": _ways,
}
