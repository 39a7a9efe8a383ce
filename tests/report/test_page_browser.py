"""The interactive page in a headless Chromium: it draws, reacts, fits a phone, is accessible and asks for nothing."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from reflowbench.results.access import Results
from reflowbench.results.table import read_table
from tests.conftest import ROOT
from tests.report.pages import column, data_of, interactive
from tests.results.cells import FD, lose

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="no Chromium on this machine"),
]

PAGE = ROOT / "reports/index.html"
RESULTS = Results(read_table(ROOT / "reports/results.csv"))
METHODS, LAST, FEW, MANY = RESULTS.methods, RESULTS.rounds[-1], RESULTS.nfes[0], RESULTS.nfes[-1]
CELLS = len(METHODS) * len(RESULTS.rounds)
ALL_DRAWN = "[...document.querySelectorAll('.chart')].every((chart) => chart.dataset.drawn)"
MARKS = "(chart) => [...chart.querySelectorAll('.mark-symbol path')].filter((mark) => mark.getAttribute('d')).length"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, file, **options):
    """A tab with a file, where every chart has been drawn; what it logs or asks for fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 800}, **options})
    tab = context.new_page()
    logged, asked = [], []
    tab.on("console", lambda message: logged.append(message.text))
    tab.on("pageerror", lambda error: logged.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(Path(file).as_uri())
    tab.wait_for_function(ALL_DRAWN)
    yield tab
    assert logged == [] and {url for url in asked if not url.startswith("data:")} == {Path(file).as_uri()}
    context.close()


@pytest.fixture
def tab(browser):
    with opened(browser, PAGE) as tab:
        yield tab


def marks(tab, chart):
    return tab.locator(f"[data-chart={chart}]").evaluate(MARKS)


def test_every_chart_draws_a_mark_for_every_value(tab):
    data = data_of(PAGE.read_text())
    for name, spec in data["charts"].items():
        rows = spec["layer"][-1]["data"]["values"]
        chosen = [row for row in rows if name == "fd_by_nfe" or row.get("nfe", MANY) == MANY]
        assert marks(tab, name) == len(chosen) > 0, name
    tab.locator("[data-chart=fd_by_round] .mark-symbol path").last.hover()
    assert "round k" in tab.locator("#vg-tooltip-element.visible").inner_text()


def test_the_nfe_and_the_methods_can_be_chosen(tab):
    many, few = (str(RESULTS.over_seeds(METHODS[0], LAST, FD, nfe)) for nfe in (MANY, FEW))
    table = tab.locator("#fd_by_round table")
    tab.get_by_text("Numbers: Frechet distance by round").click()
    assert table.locator("tbody tr:visible").count() == len(METHODS) and many in table.inner_text()
    before = tab.locator("[data-chart=recall] svg").inner_html()
    tab.select_option("#nfe", str(FEW))
    tab.wait_for_function("(old) => document.querySelector('[data-chart=recall] svg').innerHTML !== old", arg=before)
    assert table.locator("tbody tr:visible").count() == len(METHODS) and few in table.inner_text()
    assert marks(tab, "straightness") == CELLS, "which was measured at the highest NFE only"
    assert marks(tab, "fd_by_round") == CELLS
    shown = f"(count) => ({MARKS})(document.querySelector('[data-chart=fd_by_round]')) === count"
    button = tab.locator(f"button[data-method={METHODS[-1]}]")
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    tab.wait_for_function(shown, arg=CELLS - len(RESULTS.rounds))
    button.press("Enter")
    tab.wait_for_function(shown, arg=CELLS)


def test_the_slider_moves_through_the_rounds_by_keyboard(tab):
    sheet = tab.locator(f".sheet[data-method={METHODS[-1]}]")
    last = sheet.locator("img").get_attribute("src")
    tab.locator("#round").focus()
    tab.keyboard.press("Home")
    assert tab.locator("#round-shown").inner_text() == "0"
    sources = {image.get_attribute("src") for image in tab.locator(".sheet img").all()}
    assert len(sources) == 1 and last not in sources, "all methods start from the base model"
    assert "after round 0" in sheet.locator("img").get_attribute("alt")
    tab.keyboard.press("ArrowRight")
    many = sheet.locator("img").get_attribute("src")
    tab.select_option("#sampler", f"{RESULTS.solver}_{FEW}")
    assert sheet.locator("img").get_attribute("src") not in (many, last)
    assert sheet.locator("figcaption").inner_text() == f"FD {RESULTS.over_seeds(METHODS[-1], 1, FD, FEW)}"
    assert tab.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")


def test_the_table_is_filtered_sorted_and_paged(tab):
    rows, count = tab.locator("#results tbody tr"), tab.locator("#count")
    means, whole = (len(column(data_of(PAGE.read_text())["tables"][view]["metric"])) for view in ("means", "seeds"))
    assert rows.count() == 25 and count.inner_text() == f"{means} of {means} rows"
    for name, value in {"metric": FD, "nfe": str(MANY), "round": str(LAST)}.items():
        tab.select_option(f"#filter-{name}", value)
    shown = len(METHODS) * RESULTS.table.query("metric == @FD and solver != 'dopri5'")["features"].nunique()
    assert count.inner_text() == f"{shown} of {means} rows" and rows.count() == shown
    values = {method: RESULTS.over_seeds(method, LAST, FD, MANY) for method in METHODS}
    ascending = sorted(METHODS, key=lambda method: values[method].mean)
    header = tab.get_by_role("button", name="mean ± half width")
    for press, order in ((header.click, ascending), (lambda: header.press("Enter"), ascending[::-1])):
        press()
        found = [row.inner_text().split("\t") for row in rows.all()]
        assert [cells[:5] for cells in found if "classifier" in cells] == [
            [FD, method, str(LAST), str(MANY), str(values[method])] for method in order
        ]
    assert tab.locator("th[aria-sort=descending]").count() == 1
    tab.select_option("#view", "seeds")
    assert count.inner_text() == f"{shown * len(RESULTS.seeds)} of {whole} rows", "the filters stay"
    for name in ("metric", "nfe", "round"):
        tab.select_option(f"#filter-{name}", "")
    tab.locator("#next").click()
    assert tab.locator("#page").inner_text() == f"Page 2 of {-(-whole // 25)}" and rows.count() == 25
    assert tab.locator("#previous").is_enabled()
    tab.select_option("#filter-method", METHODS[0])
    assert tab.locator("#page").inner_text().startswith("Page 1 of ")


def test_the_theme_follows_the_system_until_one_is_chosen(browser):
    background = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, PAGE, color_scheme="dark") as tab:
        dark = tab.evaluate(background)
        tab.get_by_role("button", name="Use the light theme").click()
        tab.wait_for_function("[...document.querySelectorAll('.chart')].every((c) => c.dataset.drawn === 'light')")
        light = tab.evaluate(background)
        tab.reload()
        tab.wait_for_function(ALL_DRAWN)
        assert tab.evaluate(background) == light != dark, "and the choice is kept"


@pytest.mark.parametrize("width", [375, 768])
def test_the_page_does_not_scroll_sideways(browser, width):
    """Wide tables scroll in their boxes."""
    with opened(browser, PAGE, viewport={"width": width, "height": 700}) as tab:
        tab.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        box = tab.locator("#fd_by_nfe .scroll")
        assert width > 375 or box.evaluate("(box) => box.scrollWidth > box.clientWidth")
        widths = tab.locator(".chart svg").evaluate_all("(all) => all.map((svg) => svg.getBoundingClientRect().right)")
        assert max(widths) <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser, scheme):
    with opened(browser, PAGE, color_scheme=scheme) as tab:
        tab.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
        found = Axe().run(tab).response["violations"]
        assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []


def test_a_page_with_missing_values_draws_the_rest(browser, evaluations, tmp_path):
    lose(evaluations, "rca", 1, 2)
    file = tmp_path / "index.html"
    file.write_text(interactive(evaluations, tmp_path))
    with opened(browser, file) as tab:
        assert marks(tab, "fd_by_round") == 5
        tab.select_option("#filter-metric", FD)
        tab.select_option("#filter-round", "2")
        assert "it broke" in tab.locator("#results").inner_text()


def test_without_scripts_the_words_and_numbers_are_there(browser):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(PAGE.as_uri())
    shown = tab.locator("body").inner_text()
    assert (
        "Charts and the table of all results need JavaScript" in shown
        and str(RESULTS.over_seeds(METHODS[0], LAST, FD, MANY)) in shown
    )
    context.close()
