"""The site that `make docs` builds with Sphinx from a copy of all tracked pages, laid out as in the repository.

So that links mean the same here, on a code host and in the site. README is its first page; what the menu shows is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "reflowbench"
extensions = ["myst_parser"]
root_doc = "README"
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 4

MENU = {
    "How to": {
        "Change a parameter, compare branches": "docs/comparing",
        "Add a method": "docs/adding-a-method",
        "Use other images": "docs/data",
        "GPUs, clusters, the paper's scale": "docs/scale",
        "Look at results in MLflow": "docs/tracking",
        "When something goes wrong": "docs/troubleshooting",
        "Parameters and commands": "docs/reference",
    },
    "What was found": {
        "The methods": "docs/methods",
        "The result": "reports/report",
        "Findings": "docs/findings",
        "Eight seeds of the default chains": "reports/study/report",
        "Variants of the methods on raw digits": "reports/ablations/report",
        "28x28 images": "reports/mnist/report",
    },
    "What is measured": {
        "Metrics, and how to read them": "docs/metrics",
        "Feature spaces": "docs/features",
        "Theory": "docs/theory",
        "Theory: tables": "reports/theory/report",
        "Control: damaged images": "reports/controls/damage",
        "Control: GANs": "reports/controls/gans",
    },
    "How it is made": {
        "Architecture": "docs/architecture",
        "Reliability": "docs/reliability",
        "Performance": "docs/performance",
        "Mutants: what tests notice": "docs/mutants",
        "Benchmarks": "benchmarks/README",
        "Security": "SECURITY",
        "Contributing": "CONTRIBUTING",
        "Changes": "CHANGELOG",
    },
}


def _menu(app: Sphinx, page: str, source: list[str]) -> None:
    if page == root_doc:
        for caption, pages in MENU.items():
            lines = (f"{title} <{name}>" for title, name in pages.items())
            source[0] += "\n".join(["", "```{toctree}", f":caption: {caption}", ":hidden:", "", *lines, "```", ""])


def setup(app: Sphinx) -> None:
    """Put the menu behind the first page, where readers of the repository do not see it."""
    app.connect("source-read", _menu)
