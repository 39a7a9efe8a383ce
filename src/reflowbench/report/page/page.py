"""The page as a whole: sections, scripts and the policy that keeps it to itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from string import Template

import pandas as pd

from reflowbench.report.collapse import missing_list
from reflowbench.report.markdown import Settings
from reflowbench.report.page import charts, provenance, sections, table, words
from reflowbench.report.page.markup import Html, element, join, options, script_code, script_json
from reflowbench.report.page.numbers import Numbers
from reflowbench.report.page.samples import sheets
from reflowbench.results.access import Results

TEMPLATE = Path(__file__).with_name("template")
SCRIPTS = ("common.js", "charts.js", "samples.js", "table.js")


def render(
    results: Results, settings: Settings, spectra: pd.DataFrame, evaluations: Path, tables: Sequence[Path]
) -> str:
    """Write the page.

    Args:
        results: The table.
        settings: What the numbers were made with.
        spectra: Eigenvalues of the samples' covariance.
        evaluations: Folder of the evaluated models, for their samples.
        tables: The files that the results come from, to be named with their hashes.

    Returns:
        HTML that needs no other file and may ask for none.
    """
    numbers = Numbers(results)
    shown = sheets(results, evaluations)
    panels = {metric: title.lower() for metric, (title, _) in sections.PANELS.items()}
    specs = charts.all_charts(numbers, spectra, panels)
    data = {
        "charts": specs,
        "tables": table.columns(numbers),
        "samples": asdict(shown),
        "rounds": results.rounds,
        "fd": {f"{m}/{k}/{nfe}": str(found) for (m, k, nfe), found in numbers.frechet.items()},
    }
    profile = str(results.table["profile"].iloc[0])
    parts = {
        "title": element("title", f"Model collapse in Reflow: profile {profile}"),
        "profile": element("code", profile),
        "summary": words.summary(numbers),
        "cards": join([words.card(numbers, i) for i in range(len(results.methods))]),
        "decided": words.how_decided(numbers),
        "toolbar": sections.toolbar(numbers),
        "frechet": sections.frechet(numbers),
        "steps": sections.steps(numbers),
        "lost": sections.lost(numbers),
        "spectrum": sections.spectrum(numbers, specs["spectrum"]),
        "straightness": sections.straightness(numbers),
        "samples": sections.samples(numbers, shown),
        "seed": str(results.seeds[0]),
        "filters": _filters(numbers),
        "missing": _missing(results, shown.missing),
        "provenance": provenance.section(numbers, settings, [*tables, evaluations]),
        "data": script_json(data),
    }
    return _fill(parts)


def _fill(parts: dict[str, str]) -> str:
    """Put the parts, the style and the scripts into the template, and allow exactly these scripts."""
    own = script_code("\n".join((TEMPLATE / name).read_text(encoding="utf-8") for name in SCRIPTS))
    allowed = " ".join(f"'sha256-{_sha256(code)}'" for code in (_library(), own))
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    fixed = {
        "policy": element("meta", http_equiv="Content-Security-Policy", content=policy),
        "style": Html((TEMPLATE / "style.css").read_text(encoding="utf-8")),
        "library": element("script", _library(), type="module"),
        "own": element("script", own, type="module"),
    }
    return Template((TEMPLATE / "page.html").read_text(encoding="utf-8")).substitute({**parts, **fixed})


@cache
def _library() -> Html:
    """Vega, Vega-Lite and Vega-Embed, minified by the package that ships them, which takes about two seconds."""
    import vl_convert

    return script_code(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _sha256(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def _filters(numbers: Numbers) -> Html:
    """Selects that the page's script fills with what the table holds."""
    views = {"means": "means over seeds", "seeds": "single seeds"}
    chosen = [element("label", "Rows ", element("select", options(views, "means"), id="view"))]
    for name, label in {"metric": "Metric", "method": "Method", "round": "Round", "nfe": "NFE"}.items():
        chosen.append(element("label", f"{label} ", element("select", id=f"filter-{name}", data_filter=name)))
    return element("div", *chosen, class_="toolbar still")


def _missing(results: Results, unsampled: Sequence[str]) -> Html:
    """Cells without a value, and why; models without samples."""
    lines = [line.removeprefix("- ") for line in missing_list(results).splitlines()]
    lines += [f"samples: {', '.join(unsampled)}"] if unsampled else []
    if not lines:
        return element("p", "Every cell of the grid has a value for every metric.")
    return element("ul", *(element("li", line) for line in lines), class_="missing")
