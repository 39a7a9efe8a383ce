"""Two revisions with known differences, read out of a Git repository."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from reflowbench import cli
from reflowbench.compare.cells import CHANGED, GONE, NEW, SAME, changed_cells
from reflowbench.compare.headline import EQUAL, MISSING, change_over_seeds, comparable, differences
from reflowbench.compare.page import BETTER, WORSE, Table, compare
from reflowbench.compare.parameters import ABSENT, changed_parameters
from reflowbench.compare.render import html, markdown
from reflowbench.compare.revisions import snapshot
from reflowbench.errors import ReflowbenchError
from reflowbench.results.statistics import interval
from reflowbench.results.verdicts import GROWS, INCONCLUSIVE, SHRINKS, STABLE
from tests.compare.made import fd
from tests.report.made import rows
from tests.results.cells import FD, grid

GROWTH = "log growth of FD a round"


def found(before, after):
    """Differences by method and metric."""
    return {(d.method, d.metric): d for d in differences(*comparable(before, after))}


def scaled(table, metric, factor, method="rca"):
    """A table with a metric of a method's last round multiplied, by a factor for each seed."""
    table = table.copy()
    wanted = (table["metric"] == metric) & (table["method"] == method) & (table["round"] == 2)
    table.loc[wanted, "value"] *= table.loc[wanted, "seed"].map(dict(enumerate(factor)))
    return table


def test_a_branch_with_one_changed_parameter(repository, capsys):
    """One parameter, one method's cells after the base, and a known change of its FD are named; nothing else is."""
    repository.branch("quarter")
    repository.params["methods"]["rca"]["real_fraction"] = 0.25
    shift = {0: 1.0, 1: 1.5, 2: 2.0}
    repository.table = repository.measured(
        lambda m, seed, k, nfe: fd(m, seed, k, nfe) - shift[seed] * (m == "rca" and k > 0)
    )
    repository.commit()
    cli.main(["compare", "main", "quarter"])
    text = capsys.readouterr().out
    assert rows(text.split("## Cells")[0]) == {"methods.rca.real_fraction": ["0.5   ", "0.25"]}
    assert "Cells: 12 with the same numbers, 6 with other numbers." in text
    commit = repository.git("rev-parse", "--short=7", "main"), repository.git("rev-parse", "--short=7", "quarter")
    assert text.startswith(f"# main ({commit[0]}) → quarter ({commit[1]})\n")
    [line] = [line for line in text.splitlines() if re.match(r"\| rca +\| FD, NFE 50", line)]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[4] == str(interval([-1.0, -1.5, -2.0])) and cells[-1] == f"{SHRINKS} {BETTER}"
    assert "The same numbers in all of them: reflow." in text


def test_the_working_tree_is_compared_by_default(repository, capsys):
    cli.main(["compare", "main"])
    assert "→ working tree" in (same := capsys.readouterr().out)
    assert "No parameter differs." in same and "Cells: 18 with the same numbers." in same
    repository.table = scaled(repository.table, FD, (2, 2, 2))
    repository.write()
    cli.main(["compare", "main"])
    assert "15 with the same numbers, 3 with other numbers" in capsys.readouterr().out


def test_a_tag_and_a_commit_are_revisions_too(repository):
    repository.git("tag", "v1")
    repository.branch("other")
    repository.table = scaled(repository.table, FD, (2, 2, 2))
    repository.commit()
    for name in ("v1", "main", "HEAD~1", repository.git("rev-parse", "main")):
        assert snapshot(name).table[snapshot(name).table["metric"] == FD]["value"].max() < 250


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: r.git("rm", "--quiet", "reports/results.csv"), "no results, reports/results.csv is not there"),
        (lambda r: r.git("rm", "--quiet", "params.yaml"), "no params.yaml; write one by `reflowbench profile NAME"),
        (lambda r: (r.folder / "params.yaml").write_text("a: [1"), "params.yaml: not valid YAML"),
        (
            lambda r: (r.folder / "reports/results.csv").write_text("profile,method,value\ntiny,reflow,1\n"),
            "written by another version of reflowbench (no `seed`",
        ),
        (
            lambda r: (r.folder / "reports/results.csv").write_text(
                (r.folder / "reports/results.csv").read_text().split("\n")[0]
            ),
            "reports/results.csv has no rows",
        ),
    ],
)
def test_a_revision_that_cannot_be_compared_is_named_with_a_remedy(repository, spoil, message):
    repository.branch("bad")
    spoil(repository)
    repository.git("commit", "--quiet", "--all", "--message", "spoilt")
    with pytest.raises(ReflowbenchError, match=re.escape(message)) as error:
        snapshot("bad")
    assert str(error.value).startswith("bad (") and "/tmp" not in str(error.value)
    repository.git("switch", "--quiet", "main")
    assert snapshot("main").profile == "test", "the other revision can be read all the same"


@pytest.mark.parametrize("name", ["nope", "--help", "main:params.yaml", ""])
def test_no_such_revision(repository, name):
    with pytest.raises(ReflowbenchError, match=f"^{re.escape(name)}: no such revision; `git branch"):
        snapshot(name)


def test_outside_of_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ReflowbenchError, match="not in a Git repository"):
        snapshot("main")


def test_another_profile_is_said(repository):
    before = snapshot("main")
    repository.table = repository.table.assign(profile="other")
    repository.write()
    assert "Different profiles: test → other." in markdown(compare(before, snapshot(None)))


def test_parameters_are_compared_leaf_by_leaf():
    before = {"a": {"b": 1, "c": [1, 2], "gone": {}}, "same": 1e-5}
    after = {"a": {"b": 2, "c": [1, 3]}, "same": 0.00001, "new": {"x": None}}
    changes = {c.path: (c.before, c.after) for c in changed_parameters(before, after)}
    expected = {"a.b": ("1", "2"), "a.c": ("[1, 2]", "[1, 3]"), "a.gone": ("{}", ABSENT), "new.x": (ABSENT, "null")}
    assert changes == expected
    assert changed_parameters(before, json.loads(json.dumps(before))) == []


def test_cells_are_new_gone_changed_or_the_same(repository):
    before = repository.table
    after = scaled(repository.measured(grid_=grid(rounds=[1])), FD, (2, 2, 2))
    later = repository.measured(grid_=grid(methods=["reflow", "ot"]))
    shorter, other = changed_cells(before, after).states, changed_cells(before, later).states
    assert {state for (_, _, k), state in shorter.items() if k == 2} == {GONE}
    assert {state for (_, _, k), state in shorter.items() if k < 2} == {SAME}
    assert {(method, state) for (method, _, _), state in other.items()} == {
        ("reflow", SAME), ("rca", GONE), ("ot", NEW)}  # fmt: skip
    back = changed_cells(later, before).states
    assert {cell: {NEW: GONE, GONE: NEW}.get(state, state) for cell, state in other.items()} == back


def test_one_changed_value_changes_its_cell_only(repository):
    after = repository.table.copy()
    row = after[(after["method"] == "rca") & (after["seed"] == 1) & (after["round"] == 2)].index[3]
    after.loc[row, "value"] += 1e-6
    changes = changed_cells(repository.table, after)
    assert [cell for cell, state in changes.states.items() if state == CHANGED] == [("rca", 1, 2)]
    after.loc[row, "value"] = np.nan
    assert changed_cells(after, after).count(CHANGED) == 0, "a missing value is like another one"


def test_a_metric_that_one_revision_lacks_is_named_and_changes_no_cell(repository):
    fewer = repository.table[repository.table["metric"] != "recall"]
    changes = changed_cells(fewer, repository.table)
    assert changes.count(SAME) == len(changes.states) and changes.removed == []
    assert "recall (classifier, euler NFE 50, n = 50)" in changes.added


@pytest.mark.parametrize(
    ("metric", "factor", "name", "word", "better"),
    [
        (FD, (1.5, 1.6, 1.4), "FD, NFE 50", GROWS, -1),
        (FD, (0.5, 0.6, 0.4), "FD, NFE 1", SHRINKS, 1),
        (FD, (1.5, 0.6, 1.0), "FD, NFE 50", INCONCLUSIVE, 0),
        (FD, (1.02, 1.021, 1.019), "FD, NFE 50", STABLE, 0),  # the interval excludes 0, within 5 % of the mean
        (FD, (0.5, 0.6, 0.4), f"{GROWTH} since base, NFE 50", SHRINKS, 1),
        (FD, (0.5, 0.6, 0.4), f"{GROWTH} since round 1, NFE 50", SHRINKS, 1),
        (FD, (1.02, 1.021, 1.019), f"{GROWTH} since base, NFE 50", STABLE, 0),  # log(1.02) / 2 a round
        (FD, (1, 1, 1), "FD, NFE 50", EQUAL, 0),
        (FD, (np.nan, 1, 1), "FD, NFE 50", MISSING, 0),
        ("precision", (0.5, 0.6, 0.4), "precision", SHRINKS, -1),
        ("coverage", (1.5, 1.6, 1.4), "coverage", GROWS, 1),
        # From 0.75: up to 0.98 is closer to 1, up to 1.5 is not, and down is not either.
        ("variance_ratio", (1.3, 1.31, 1.29), "variance_ratio", GROWS, 1),
        ("variance_ratio", (2.0, 2.1, 1.9), "variance_ratio", GROWS, -1),
        ("variance_ratio", (0.5, 0.6, 0.4), "variance_ratio", SHRINKS, -1),
        ("inversion_evaluations", (2, 2, 2), "thousand evaluations a round", GROWS, -1),
        ("train_evaluations", (0.5, 0.5, 0.5), "thousand evaluations a round", SHRINKS, 1),
    ],
)
def test_the_words_and_what_is_better(repository, metric, factor, name, word, better):
    result = found(repository.table, scaled(repository.table, metric, factor))
    assert (result["rca", name].word, result["rca", name].better) == (word, better)
    assert {d.word for d in result.values() if d.method == "reflow"} == {EQUAL}
    if better:
        back = found(scaled(repository.table, metric, factor), repository.table)["rca", name]
        assert (back.word, back.better) == ({GROWS: SHRINKS, SHRINKS: GROWS}[word], -better)


def test_the_growth_is_written_with_its_verdict(repository):
    difference = found(repository.table, scaled(repository.table, FD, (0.5, 0.6, 0.4)))[
        "rca", f"{GROWTH} since base, NFE 50"
    ]
    assert difference.before.endswith(f"({GROWS})") and difference.after.endswith(f"({INCONCLUSIVE})")


def test_one_common_round_has_growth_since_the_base_only(repository):
    first = repository.table[repository.table["round"] < 2]
    names = {name for _, name in found(first, repository.table) if GROWTH in name}
    assert names == {f"{GROWTH} since base, NFE 50"}


def test_the_cost_of_a_round_counts_a_training_pass_as_three(repository):
    """Per round 100 training passes, 300 forward and 150 inversion evaluations."""
    assert found(repository.table, repository.table)["rca", "thousand evaluations a round"].before == "0.75"


def test_equal_seeds_are_paired_and_others_are_not():
    old, new = [10.0, 20.0, 30.0], [11.0, 21.0, 31.5]
    paired, p = change_over_seeds(old, new, paired=True)
    assert paired.sign == 1 and p < 0.05
    unpaired, p = change_over_seeds(old, new, paired=False)
    assert unpaired.mean == pytest.approx(paired.mean) and unpaired.sign == 0 and p > 0.5


def test_a_welch_interval_against_its_formula():
    old, new = [1.0, 2.0, 4.0], [5.0, 7.0, 6.5, 8.0]
    change, p = change_over_seeds(old, new, paired=False)
    variances = [np.var(side, ddof=1) / len(side) for side in (old, new)]
    degrees = sum(variances) ** 2 / sum(v**2 / (len(side) - 1) for v, side in zip(variances, (old, new), strict=True))
    draws = np.random.default_rng(0).standard_t(degrees, 1_000_000)
    assert change.half_width == pytest.approx(np.quantile(draws, 0.975) * sum(variances) ** 0.5, rel=0.01)
    assert change.mean == pytest.approx(np.mean(new) - np.mean(old)) and change.sign == 1 and p < 0.05


def test_other_seeds_and_a_single_seed(repository):
    table = repository.table
    page = markdown(compare_tables(repository, table, table[table["seed"] < 2]))
    assert "over seeds 0, 1, 2 and 0, 1: differences of means (Welch)" in page
    assert "The same numbers in" not in page
    one = table[table["seed"] == 0]
    assert {d.word for d in found(one, scaled(one, FD, (3, 3, 3))).values()} == {EQUAL, INCONCLUSIVE}
    assert "A single seed has none" in markdown(compare_tables(repository, one, scaled(one, FD, (3, 3, 3))))


def compare_tables(repository, before, after):
    first, second = snapshot("main"), snapshot(None)
    return compare(type(first)("a", first.params, before), type(second)("b", second.params, after))


def test_rounds_and_nfe_that_both_have_are_compared(repository):
    """A fourth round or another NFE in one revision must not be compared with a third or the highest of the other."""
    table = repository.table
    longer = pd.concat([table, table[table["round"] == 2].assign(round=3, value=77.0)])
    more = pd.concat([longer, longer[longer["nfe"] == 50].assign(nfe=100, value=99.0)])
    assert {d.word for d in found(table, more).values()} == {EQUAL}
    with pytest.raises(ReflowbenchError, match="no round or no NFE in common"):
        comparable(table, table[table["round"] == 0])
    with pytest.raises(ReflowbenchError, match=r"different solvers \(euler and heun\)"):
        comparable(table, table.replace({"solver": {"euler": "heun"}}))


def test_measurements_under_other_conditions_are_not_compared(repository):
    table = repository.table
    result = found(table, table.assign(n_samples=table["n_samples"].replace(50, 60)))
    assert result["rca", "FD, NFE 50"].word == "not comparable: 50, 60 samples"
    assert result["rca", "thousand evaluations a round"].word == EQUAL
    result = found(table, table.replace({"features": {"classifier": "pixels"}}))
    assert result["rca", "FD, NFE 50"].word == "not comparable: features classifier, pixels"
    result = found(table, table[table["metric"] != "precision"])
    assert result["rca", "precision"].word == "not comparable: precision was not measured"


HOSTILE = "<script>alert('x')</script> | `a` *b*"


def test_every_text_in_a_page_is_escaped(repository, capsys):
    """Names of branches and methods, and values of parameters, are other people's."""
    repository.branch("main<b>")
    repository.params["methods"]["rca"]["source"] = HOSTILE
    repository.params[f"key{HOSTILE}"] = 1
    repository.table = scaled(repository.table, FD, (2, 2, 2)).replace({"rca": HOSTILE, "test": HOSTILE})
    repository.commit()
    cli.main(["compare", "main", "main<b>", "--out", "page.html"])
    cli.main(["compare", "main", "main<b>", "--out", "page.md"])
    page = (repository.folder / "page.html").read_text()
    allowed = "!DOCTYPE|/?(html|head|meta|title|style|body|h1|h2|table|tr|th|td|p)"
    assert all(re.match(rf"<({allowed})\b", tag) for tag in re.findall(r"<[^\s>]*", page))
    assert page.count("&lt;script&gt;") >= 4 and "main&lt;b&gt;" in page
    assert not re.search(r"(src|href)=|@import|url\(", page), "the page loads nothing"
    text = (repository.folder / "page.md").read_text()
    assert "\\<script>" in text and not re.search(r"(?<!\\)<script", text)
    assert text in capsys.readouterr().out


def test_markdown_tables_keep_their_columns():
    text = markdown([Table(["a", "b"], [["x|y", "1"], ["two\nlines", "22"]], numbers=(1,))])
    assert text.splitlines() == ["| a         |   b |", "| --------- | --: |", "| x\\|y      |   1 |",
                                 "| two lines |  22 |"]  # fmt: skip


def test_a_format_that_there_is_not_is_refused_first(repository, capsys):
    with pytest.raises(SystemExit, match=r"page.pdf: cannot write .pdf; end the name in .md or .html"):
        cli.main(["compare", "main", "--out", "page.pdf"])
    assert capsys.readouterr().out == ""


def test_html_marks_what_is_better_and_worse():
    rows = [["a", f"{SHRINKS} {BETTER}"], ["b", f"{GROWS} {WORSE}"], ["better luck", INCONCLUSIVE], ["", ""]]
    page = html([Table(["m", ""], rows)])
    assert page.count('class="better"') == page.count('class="worse"') == 1
