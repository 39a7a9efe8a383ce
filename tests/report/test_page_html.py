"""The interactive page: one file of bounded size whose numbers are those of the table, whatever its texts hold."""

import base64
import hashlib
import io
import math
import re

import numpy as np
import pytest
import vl_convert
from PIL import Image

from reflowbench.report import headline
from reflowbench.report.page import charts, page
from reflowbench.report.page.markup import element, prose, script_code, script_json
from reflowbench.report.page.numbers import Numbers
from reflowbench.results.access import Results
from reflowbench.results.table import read_table
from reflowbench.runtime.artifacts import write_tensors
from reflowbench.runtime.evaluations import BASE, SAMPLES_FILE, cell_folder
from tests.conftest import ROOT
from tests.report.made import spectra_of
from tests.report.pages import Tags, column, data_of, interactive, without_scripts
from tests.results.cells import FD, GRID, METHODS, SEEDS, lose, results_of, write_cells

HOSTILE = "</script><script>alert(1)</script><!--\"'&<b>"


@pytest.fixture
def html(evaluations, tmp_path):
    return interactive(evaluations, tmp_path)


def test_the_same_results_give_the_same_bytes(evaluations, html, tmp_path):
    assert interactive(evaluations, tmp_path) == html
    assert str(tmp_path) not in html and not re.search(r"\b20\d\d-\d\d-\d\d\b", without_scripts(html))


def test_elements_are_nested_and_ids_are_unique(html):
    ids = [attributes["id"] for _, attributes in Tags(html).found if "id" in attributes]
    assert len(ids) == len(set(ids)) > 15
    targets = {a["href"][1:] for tag, a in Tags(html).found if a.get("href", "").startswith("#")}
    assert targets and targets <= set(ids)


def test_no_number_of_a_whole_grid_is_missing(html):
    assert not re.search(r"\b(nan|NaN|None|inf|missing because)\b", without_scripts(html))
    assert "Every cell of the grid has a value for every metric." in html


def test_every_row_of_the_table_is_in_the_page_with_its_digits(evaluations, tmp_path, html):
    """And nothing else: values as results.csv has them."""
    table = read_table(tmp_path / "reports/results.csv")
    shown = {name: column(values) for name, values in data_of(html)["tables"]["seeds"].items()}
    for name in set(table.columns) - {"profile"}:
        want = [None if isinstance(v, float) and math.isnan(v) else v for v in table[name].tolist()]
        assert shown[name] == want, name


def test_the_committed_table_survives_json():
    table = read_table(ROOT / "reports/results.csv")
    shown = page.table.columns(Numbers(Results(table)))["seeds"]["value"]["values"]
    assert np.array_equal(np.array(shown, float), table["value"].to_numpy())


def test_means_are_those_of_the_other_reports(evaluations, html):
    results = results_of(evaluations)
    means = {name: column(values) for name, values in data_of(html)["tables"]["means"].items()}
    rows = zip(*(means[name] for name in ("method", "round", "nfe", "metric", "solver", "text")), strict=True)
    found = {(m, k, metric, nfe): text for m, k, nfe, metric, solver, text in rows if solver == "euler"}
    for method in METHODS:
        for k in results.rounds:
            for nfe in results.nfes:
                for metric in (FD, "recall", "variance_ratio"):
                    assert found[method, k, metric, nfe] == str(results.over_seeds(method, k, metric, nfe))
    adaptive = [nfe for nfe, solver in zip(means["nfe"], means["solver"], strict=True) if solver == "dopri5"]
    assert set(adaptive) == {-1}, "the adaptive solver's differs between models"


@pytest.mark.parametrize("place", ["profile", "missing"])
def test_texts_of_the_results_stay_text(evaluations, tmp_path, html, place):
    if place == "missing":
        lose(evaluations, "rca", 1, 2, ["recall"], HOSTILE)
    hostile = interactive(
        evaluations, tmp_path, lambda table: table.assign(profile=HOSTILE) if place == "profile" else table
    )
    assert [tag for tag, _ in Tags(hostile).found if tag in ("script", "b")].count("script") == 3
    assert "alert(1)</script>" not in hostile and "&lt;/script&gt;&lt;script&gt;alert(1)" in hostile
    if place == "missing":
        assert HOSTILE in data_of(hostile)["tables"]["seeds"]["missing"]["levels"]
    assert re.findall(r"sha256-\S+", hostile) == re.findall(r"sha256-\S+", html), "data runs no code"


def test_markup_escapes_what_is_not_markup():
    assert element("p", "<i>", element("b", "&")) == "<p>&lt;i&gt;<b>&amp;</b></p>"
    assert element("a", data_x='"', hidden=True, title=None, open=False) == '<a data-x="&quot;" hidden></a>'
    assert prose("**a** *b* `<c>`") == "<strong>a</strong> <em>b</em> <code>&lt;c&gt;</code>"
    assert script_json("</script>&") == r'"\u003c/script\u003e\u0026"'
    assert script_code("'</script><!--'") == r"'<\/script><\!--'"
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(math.nan)


def test_the_page_may_run_its_own_scripts_and_ask_for_nothing(html):
    [policy] = [a["content"] for tag, a in Tags(html).found if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    codes = re.findall(r'<script type="module">(.*?)</script>', html, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in codes]
    assert rules["script-src"] == " ".join(f"'sha256-{found}'" for found in hashes) and len(codes) == 2
    for tag, attributes in Tags(html).found:
        for name in ("src", "href", "srcset", "action"):
            source = attributes.get(name, "data:")
            assert source.startswith(("data:", "#")) or (tag, source) == ("a", "results.csv")
    assert not [a for _, a in Tags(html).found if any(name.startswith("on") for name in a)]


def test_the_committed_page_is_that_of_the_committed_table_and_small():
    html = (ROOT / "reports/index.html").read_bytes()
    assert len(html) < 5e6
    assert hashlib.md5((ROOT / "reports/results.csv").read_bytes()).hexdigest() in html.decode()


def test_every_chart_has_a_place_words_and_numbers(evaluations, html):
    found = Tags(html).found
    places = {a["data-chart"]: a["aria-label"] for _, a in found if "data-chart" in a}
    assert set(places) == set(data_of(html)["charts"])
    assert {"fd_by_round", "fd_by_nfe", "fd_by_cost", "spectrum", "straightness", "recall"} <= set(places)
    for name, said in places.items():
        assert all(model in said for model in ([BASE] if name == "fd_by_nfe" else METHODS)), name
    assert sum(tag == "figure" for tag, _ in found) == html.count("<figcaption>")
    said = "At NFE 50, FD goes from 10.0 ± 0.0 (base model) to reflow 12.0 ± 0.0, rca 12.0 ± 0.0 after round 2."
    assert f"{said} Real images: 2." in html


def test_the_answer_is_that_of_the_verdicts(tmp_path):
    """Growth by 1.5 a round for reflow, none for rca; round 0 of both is the base."""
    growth = {BASE: 1.0, "reflow": 1.5, "rca": 1.0}
    (tmp_path / "made").mkdir()
    write_cells(tmp_path / "made", lambda method, seed, k, nfe: (10 + 0.001 * seed) * growth[method] ** k)
    html = interactive(tmp_path / "made", tmp_path)
    assert '<div class="grows"><dt>FD grows</dt><dd><strong>reflow</strong></dd></div>' in html
    assert '<div class="stable"><dt>FD is stable</dt><dd><strong>rca</strong></dd></div>' in html
    assert "<dt>FD shrinks</dt>" not in html and "<dt>Inconclusive</dt>" not in html
    assert [text for text in re.findall(r'class="badge .*?">(.*?)<', html)] == ["grows", "stable"]
    results = results_of(tmp_path / "made")
    for header, rows in (headline.full_steps(results), headline.one_step(results)):
        assert "".join(f'<th scope="col">{name}</th>' for name in header) in html
        assert all("".join(f"<td>{cell}</td>" for cell in row[1:]) in html for row in rows)


def test_rounds_that_are_skipped_are_no_sheets_and_cost_what_the_next_one_does(tmp_path):
    (tmp_path / "made").mkdir()
    write_cells(tmp_path / "made", rounds=(1, 2, 4))
    skipping = GRID.model_copy(update={"rounds": [1, 2, 4]})
    html = interactive(tmp_path / "made", tmp_path, grid=skipping)
    [slider] = [a for _, a in Tags(html).found if a.get("id") == "round"]
    assert data_of(html)["rounds"] == [0, 1, 2, 4]
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "3", "3")
    spent = {row["k"]: row["x"] for row in rows_of(data_of(html)["charts"]["fd_by_cost"]) if row["method"] == "reflow"}
    assert spent == {0: 0, 1: 0.4, 2: 0.8, 4: 1.6}
    assert "Every cell of the grid has a value for every metric." in html


def test_vega_lite_accepts_every_chart(evaluations, html):
    for name, spec in data_of(html)["charts"].items():
        vega = vl_convert.vegalite_to_vega(spec | {"width": 300})
        assert {"nfe", "hidden"} <= {signal["name"] for signal in vega["signals"]}, name


def rows_of(spec):
    return spec["layer"][-1]["data"]["values"]


def test_the_curves_are_means_with_their_intervals(tmp_path):
    write_cells(tmp_path, lambda method, seed, k, nfe: 10.0 + k + seed + (5 if nfe == 1 else 0))
    results = results_of(tmp_path)
    spec = charts.by_round(Numbers(results), FD, "FD", True, results.nfes)
    [row] = [row for row in rows_of(spec) if (row["method"], row["k"], row["nfe"]) == ("rca", 2, 1)]
    value = results.over_seeds("rca", 2, FD, 1)
    assert row["mean"] == 18 and row["text"] == str(value)
    assert (row["low"], row["high"]) == pytest.approx(value.bounds, rel=1e-5)
    bases = [(row["nfe"], row["y"]) for layer in spec["layer"] for row in layer["data"]["values"]
             if row.get("style") == "base"]  # fmt: skip
    assert bases == [(1, 16), (50, 11)]


def test_the_cost_adds_up_training_and_pairs_over_the_rounds(evaluations):
    """A round: 100 training evaluations and 300 forward; for rca 150 inverted ones besides. The base is free."""
    rows = rows_of(charts.by_cost(Numbers(results_of(evaluations))))
    spent = {(row["method"], row["k"]): row["x"] for row in rows}
    assert spent == {("reflow", 0): 0, ("reflow", 1): 0.4, ("reflow", 2): 0.8, ("rca", 0): 0, ("rca", 1): 0.55,
                     ("rca", 2): 1.1}  # fmt: skip


def test_the_frontier_is_the_best_within_so_many_steps(tmp_path):
    """Base 9 in one step and 5 in many; reflow 7 and 6; rca 8 and 3."""
    fd = {BASE: (9, 5), "reflow": (7, 6), "rca": (8, 3)}
    write_cells(tmp_path, lambda method, seed, k, nfe: fd[method if k else BASE][nfe > 1])
    assert charts.frontier(Numbers(results_of(tmp_path))) == {1: (7, "reflow"), 50: (3, "rca")}


def test_a_bar_that_reaches_zero_ends_within_a_logarithmic_axis(tmp_path):
    write_cells(tmp_path, lambda method, seed, k, nfe: 1.0 + 4 * seed)
    rows = rows_of(charts.by_round(Numbers(results_of(tmp_path)), FD, "FD", True))
    assert rows[0]["mean"] == 5 and rows[0]["low"] == 0.5 and rows[0]["text"] == "5.0 ± 9.9"


def test_the_spectrum_is_relative_to_the_real_one_where_that_is_not_zero(evaluations):
    rows = rows_of(charts.spectrum(Numbers(results_of(evaluations)), spectra_of(evaluations)))
    assert [(r["x"], r["mean"]) for r in rows if r["method"] == "rca"] == [(1, 0.5), (2, 0.666667), (3, 0.5)]


def test_sheets_hold_the_samples_as_ink_on_white(evaluations, html):
    samples = data_of(html)["samples"]
    assert set(samples["images"]) == {"base/0/euler_50"} | {f"{m}/{k}/euler_50" for m in METHODS for k in (1, 2)}
    assert samples["solvers"] == {"euler_50": "euler, NFE 50"} and samples["grey"]
    file = base64.b64decode(samples["images"]["rca/2/euler_50"].split(",")[1])
    image = np.array(Image.open(io.BytesIO(file)))
    assert image.shape == (5, 5) and image[0, 0] == 127 and image[2, 2] == 255, "level 0 of -1 .. 1, and the gap"


def test_colour_samples_keep_their_colours(evaluations, tmp_path):
    import torch

    for path in evaluations.rglob(SAMPLES_FILE):
        write_tensors(path, {"euler_50": torch.full((4, 12), 1.0)}, {"shape": [3, 2, 2]})
    samples = data_of(interactive(evaluations, tmp_path))["samples"]
    image = Image.open(io.BytesIO(base64.b64decode(samples["images"]["base/0/euler_50"].split(",")[1])))
    assert not samples["grey"] and image.mode == "RGB" and image.getpixel((0, 0)) == (255, 255, 255)


def test_models_without_samples_are_named(evaluations, tmp_path):
    (cell_folder(evaluations, "rca", SEEDS[0], 2) / SAMPLES_FILE).unlink()
    html = interactive(evaluations, tmp_path)
    assert "samples: rca k = 2" in html and 'alt="Samples of rca after round 2, euler, NFE 50: missing"' in html


def test_what_is_missing_is_named_and_the_rest_is_drawn(evaluations, tmp_path):
    lose(evaluations, "rca", 1, 2, [FD])
    html = interactive(evaluations, tmp_path)
    assert f"{FD} (3 values; rca k = 2): it broke" in html and "rca missing" in html
    rows = [row for row in rows_of(data_of(html)["charts"]["fd_by_round"]) if row["nfe"] == 50]
    assert [row["mean"] for row in rows if row["method"] == "rca"] == [10, 11, None], "a gap in the line"
    assert [row["mean"] for row in rows if row["method"] == "reflow"] == [10, 11, 12]


def test_a_cell_that_the_table_lacks_is_named_and_the_rest_is_drawn(evaluations, tmp_path):
    def cut(table):
        return table[~((table["method"] == "rca") & (table["round"] == 1) & (table["seed"] == 2))]

    html = interactive(evaluations, tmp_path, cut)
    assert "frechet_distance (3 values; rca k = 1): not in the table" in html
    rows = [row for row in rows_of(data_of(html)["charts"]["fd_by_round"]) if row["nfe"] == 50]
    assert [row["mean"] for row in rows if row["method"] == "rca"] == [10, None, 12]


def test_inputs_are_named_by_the_hashes_of_their_contents(evaluations, tmp_path, html):
    digest = hashlib.md5((tmp_path / "reports/results.csv").read_bytes()).hexdigest()
    assert f'<th scope="row">reports/results.csv</th><td>{digest}</td>' in html
    assert f"git log -S {digest} -- dvc.lock" in html
    changed = interactive(evaluations, tmp_path, lambda table: table.assign(value=table["value"] + 1))
    assert digest not in changed
