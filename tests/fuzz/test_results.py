"""The merger of results: what it takes over is what the files say, to the last bit; everything else is refused."""

import copy
import csv
import io
import json
import math

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from reflowbench.errors import ReflowbenchError
from reflowbench.results.access import Results
from reflowbench.results.table import COLUMNS, cells, folder_of, gather, read_table, to_csv
from reflowbench.runtime.artifacts import read_json, write_json
from reflowbench.runtime.evaluations import METRICS_FILE
from reflowbench.runtime.seal import BLANK, KEY, sealed
from tests.fuzz import trees
from tests.results.cells import grid, write_cells

GRID = grid(seeds=[0], rounds=[1, 2])


@pytest.fixture
def evaluations(folder):
    """Files of one seed, with checksums."""
    write_cells(folder / "evaluations")
    for path in sorted((folder / "evaluations").glob(f"*/s0/round*/{METRICS_FILE}")):
        cell = json.loads(path.read_text())
        cell.pop(KEY, None)
        write_json(path, cell)
    return folder / "evaluations"


def expected(evaluations):
    """The rows of the table, straight from the files."""
    for cell in cells(GRID):
        values = json.loads((folder_of(cell, evaluations, {}) / METRICS_FILE).read_text())
        rows = [dict(row) for row in values["measurements"]]
        facts = [*sorted(values["training"].items()), ("classifier_accuracy", values["classifier_accuracy"])]
        plain = {"solver": "", "nfe": 0, "features": "", "n_samples": 0, "error": None, "missing": ""}
        rows += [plain | {"metric": name, "value": value} for name, value in facts]
        for row in rows:
            yield {"profile": "test", "method": cell.method, "seed": cell.seed, "round": cell.k} | row


def same(found, value):
    if value is None:
        return math.isnan(found)
    if isinstance(found, str):
        return found == value
    return type(value) in (int, float) and found == type(found)(value)  # whole numbers may stand in columns of floats


def check_gathered(evaluations):
    """Refused by name, or the numbers of the files in a table that every reader can use."""
    try:
        table, _ = gather(evaluations, GRID, "test", {})
    except ReflowbenchError as error:
        assert str(error).startswith((str(evaluations), "round ", "an evaluation", "the evaluation of")), error
        event("refused")
        return
    event("accepted")
    rows = list(expected(evaluations))
    assert len(rows) == len(table)
    for found, row in zip(table.to_dict("records"), rows, strict=True):
        assert all(same(found[name], row[name]) for name in COLUMNS), (found, row)
    text = to_csv(table)
    path = evaluations.parent / "results.csv"
    path.write_text(text, encoding="utf-8")
    assert to_csv(read_table(path)) == text
    Results(table).over_seeds("rca", 2, "recall", 50)


def check_tree(evaluations, data):
    path = folder_of(data.draw(st.sampled_from(cells(GRID))), evaluations, {}) / METRICS_FILE
    before, tree = path.read_bytes(), read_json(path)
    _, what, changed = data.draw(trees.changes(tree))
    value = data.draw(trees.values.filter(writable) | st.floats(0, 10))
    text = json.dumps({**changed, KEY: BLANK}, indent=2)
    if what in ("rename", "add"):
        value = data.draw(trees.texts.filter(writable))
    elif what == "double" and trees.HERE in text:
        value = "again"
    path.write_bytes(b"".join(sealed(text.replace(f'"{trees.HERE}"', json.dumps(value)).encode())))
    try:
        check_gathered(evaluations)
    finally:
        path.write_bytes(before)


def writable(value):
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.long
@settings(max_examples=600)
@given(data=st.data())
def test_many_changed_evaluations(evaluations, data):
    check_tree(evaluations, data)


@settings(max_examples=150)
@given(data=st.data())
def test_a_changed_evaluation_is_taken_as_it_is_or_refused(evaluations, data):
    check_tree(evaluations, data)


@settings(max_examples=150)
@given(data=st.data())
def test_no_turned_bit_of_an_evaluation_passes(evaluations, data):
    path = folder_of(cells(GRID)[1], evaluations, {}) / METRICS_FILE
    before = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(before) - 1))
    turned = bytearray(before)
    turned[bit // 8] ^= 1 << bit % 8
    path.write_bytes(turned if data.draw(st.booleans()) else before[: bit // 8])
    with pytest.raises(ReflowbenchError, match="metrics.json: damaged JSON"):
        gather(evaluations, GRID, "test", {})
    path.write_bytes(before)


def test_a_measurement_that_one_model_lacks_is_named(evaluations):
    """A mean would silently be over fewer models; so would one with a measurement that is there twice."""
    path = evaluations / "rca/s0/round2" / METRICS_FILE
    cell = read_json(path)
    *rows, last = cell["measurements"]
    write_json(path, cell | {"measurements": rows})
    message = f"the evaluation of method rca, seed 0, round 2 lacks what others have .*metric {last['metric']}"
    with pytest.raises(ReflowbenchError, match=message):
        gather(evaluations, GRID, "test", {})
    write_json(path, cell | {"measurements": [*rows, last, last]})
    with pytest.raises(
        ReflowbenchError, match=rf"metrics.json: not an evaluation \(.*measured twice: {last['metric']}"
    ):
        gather(evaluations, GRID, "test", {})


NUMBERS = [
    "nan", "NaN", "inf", "-inf", "1e999", "True", "0x10", "1_0", " 1", "1 ", "", "abc", "1,5", "\u0661", "1.5e", "--1",
    "1e5", "1.5", "-3", "007", "1e-400", "9" * 30, "3.0", "+1", ".5", "1.", "\x00", "'1'", "None", "1\r",
]  # fmt: skip


def read_and_compare(path):
    """Refused by name, or each number is the one that stands in its cell."""
    try:
        table = read_table(path)
    except ReflowbenchError as error:
        assert str(error).startswith(str(path)) and len(str(error)) < 2000
        event("refused")
        return
    event("accepted")
    lines = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
    assert len(lines) == len(table)
    for found, line in zip(table.to_dict("records"), lines, strict=True):
        for name, text in line.items():
            if isinstance(found[name], str):
                assert found[name] == text
            else:
                assert found[name] == float(text) if text else math.isnan(found[name])
    assert table["value"].notna().equals(table["missing"] == "")


@pytest.fixture
def results(evaluations):
    path = evaluations.parent / "results.csv"
    table = gather(evaluations, GRID, "test", {})[0]
    path.write_text(to_csv(table.iloc[:: len(table) // 20]), encoding="utf-8")
    return path


@settings(max_examples=400)
@given(data=st.data())
def test_a_changed_table_is_read_as_it_is_or_refused(results, data):
    before = results.read_bytes()
    lines = list(csv.reader(io.StringIO(before.decode(), newline="")))
    row = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(COLUMNS) - 1))
    what = data.draw(st.sampled_from(["replace", "replace", "replace", "cell", "more", "double", "delete"]))
    if what == "replace":
        lines[row][column] = data.draw(st.sampled_from(NUMBERS) | trees.texts.filter(writable))
    elif what == "cell":
        del lines[row][column]
    elif what == "more":
        lines[row].insert(column, "")
    elif what == "double":
        lines.insert(row, copy.copy(lines[row]))
    else:
        del lines[row]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    results.write_bytes(text.getvalue().encode())
    read_and_compare(results)
    results.write_bytes(before)


@settings(max_examples=400)
@given(data=st.data())
def test_damaged_bytes_of_a_table_are_read_as_they_are_or_refused(results, data):
    before = results.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    put = data.draw(
        st.binary(max_size=3) | st.sampled_from([b'"', b"\n", b"\r", b",", b"\x00", b"\xff", b"e9", b"nan"])
    )
    rest = data.draw(st.sampled_from([0, 1, len(put), 40, len(before)]))
    results.write_bytes(before[:at] + put + before[at + rest :])
    read_and_compare(results)
    results.write_bytes(before)


def test_a_table_that_is_cut_short_is_refused(results):
    """Also within its last number, which would be another one then."""
    text = results.read_text()
    for length in range(len(text) - 200, len(text)):
        results.write_text(text[:length])
        if not text[:length].endswith("\n"):
            with pytest.raises(ReflowbenchError, match="results.csv: (damaged|.* want a number)"):
                read_table(results)
    for path in (results.parent, results / "x", results.parent / "missing.csv"):
        with pytest.raises(ReflowbenchError):
            read_table(path)
