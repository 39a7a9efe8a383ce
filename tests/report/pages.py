"""The interactive page of made-up or committed results, and what is in it."""

import json
import re
from html.parser import HTMLParser

from reflowbench.report.page import page
from reflowbench.results.access import Results
from reflowbench.results.partial import complete
from reflowbench.results.table import to_csv
from tests.report.made import settings, spectra_of
from tests.results.cells import GRID, results_of


def interactive(folder, tmp_path, change=lambda table: table, grid=GRID):
    """The page of evaluations, after a change of their table."""
    table = change(results_of(folder, grid).table)
    path = tmp_path / "reports/results.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(to_csv(table))
    return page.render(Results(complete(table)), settings(), spectra_of(folder, grid), folder, [path])


def data_of(html):
    """What the page's scripts are given."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL).group(1))


def without_scripts(html):
    """The page as it is before a script runs."""
    return re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def column(values):
    """A column of the page's table, as a list."""
    return values["values"] if "values" in values else [values["levels"][code] for code in values["codes"]]


class Tags(HTMLParser):
    """Elements of a page with their attributes; unclosed or crossed elements are refused."""

    VOID = ("img", "input", "link", "meta")

    def __init__(self, html):
        super().__init__()
        self.found, self.open = [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
