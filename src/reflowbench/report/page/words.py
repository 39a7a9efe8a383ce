"""The page in words: verdicts, what each method changed, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reflowbench.report import headline
from reflowbench.report.collapse import aspect_words, comparison, factor, rule
from reflowbench.report.page.charts import frontier, shape_of
from reflowbench.report.page.markup import Html, element, grid, join, prose
from reflowbench.report.page.numbers import Numbers, colour_of
from reflowbench.report.tables import FD, cost_columns, plain
from reflowbench.results.access import BASELINE
from reflowbench.results.verdicts import ASPECTS, GROWS, INCONCLUSIVE, MARGIN, SHRINKS, STABLE, verdict


def marker(index: int) -> Html:
    """A method's marker, as in the charts."""
    path = element("path", d=shape_of(index), fill=colour_of(index))
    return element("svg", path, class_="marker", viewBox="-1.4 -1.4 2.8 2.8", aria_hidden="true")


def listed(names: Sequence[str]) -> str:
    """Names as in a sentence: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def summary(numbers: Numbers) -> Html:
    """The answer: methods by verdict, and a table for each of the two questions."""
    results = numbers.results
    words = {method: verdict(results, method, results.nfes[-1]).word for method in results.methods}
    titles = {GROWS: "FD grows", STABLE: "FD is stable", SHRINKS: "FD shrinks", INCONCLUSIVE: "Inconclusive"}
    found = {kind: listed([method for method in words if words[method] == kind]) for kind in titles}
    lines = [
        element("div", element("dt", titles[kind]), element("dd", element("strong", names)), class_=kind)
        for kind, names in found.items()
        if names
    ]
    noted = headline.notes(results)
    return join([
        element("dl", *lines, class_="summary"),
        element("h3", "Full steps over the rounds (collapse)"),
        grid(f"{results.solver}, NFE {results.nfes[-1]}", *headline.full_steps(results)),
        element("p", prose(noted)) if noted else "",
        element("h3", headline.step_title(results)),
        grid(f"{results.solver}, NFE {results.nfes[0]}", *headline.one_step(results)),
    ])  # fmt: skip


def card(numbers: Numbers, index: int) -> Html:
    """One method: its verdict, the growth behind it, quality, diversity, coverage and cost."""
    results = numbers.results
    method, few, many, last = results.methods[index], results.nfes[0], results.nfes[-1], results.last
    found = verdict(results, method, many)
    facts = [
        (
            f"FD, NFE {nfe}",
            join([_whole(f"{numbers.at(method, 0, FD, nfe)} →"), _whole(numbers.at(method, last, FD, nfe))], " "),
        )
        for nfe in dict.fromkeys((many, few))
    ]
    for name, word, change in aspect_words(results, method, many, last):
        facts.append((name, join([element("b", word, class_=word), _whole(change)], " ")))
    forward, inversion = cost_columns(results, method)
    facts.append(("pairs cost", join([_whole(f"{forward} forward,"), _whole(f"{inversion} inverted")], " ")))
    parts = [
        element("h3", marker(index), method, " ", element("span", found.word, class_=f"badge {found.word}")),
        element("p", f"FD {factor(found.change)} a round since the base"),
        element("dl", *(element("div", element("dt", term), element("dd", value)) for term, value in facts)),
    ]
    if method != BASELINE and BASELINE in results.methods:
        difference = results.against(method, BASELINE, FD, many)
        parts.append(element("p", prose(comparison(difference, last)), class_="against"))
    return element("article", *parts, class_="card")


def _whole(value: object) -> Html:
    """Text that is not broken into lines."""
    return element("span", str(value), class_="whole")


def how_decided(numbers: Numbers) -> Html:
    """The rule behind the words."""
    named = ", ".join(f"{metric} ({name})" for name, metric in ASPECTS.items())
    return element(
        "details",
        element("summary", "How these words are decided"),
        element("p", prose(rule(numbers.results))),
        element(
            "p",
            prose(
                f"Quality, diversity and coverage are relative changes of {named} since the base model, in words by "
                f"the same rule: *stable* within {MARGIN:.0%}, else *grows* or *shrinks*, else *inconclusive*. Quality "
                "that grows while diversity shrinks means typical samples, not better ones."
            ),
        ),
    )


def by_round(numbers: Numbers, metric: str, nfe: int, name: str) -> str:
    """What a chart by round shows, in words."""
    results = numbers.results
    last, base = results.last, numbers.at(results.methods[0], 0, metric, nfe)
    ends = ", ".join(f"{method} {numbers.at(method, last, metric, nfe)}" for method in results.methods)
    real = results.floor(metric)
    floor = "" if math.isnan(real) else f" Real images: {plain(real)}."
    return f"At NFE {nfe}, {name} goes from {base} (base model) to {ends} after round {last}.{floor}"


def by_nfe(numbers: Numbers) -> str:
    """The best model up to each NFE."""
    best = frontier(numbers)
    if not best:
        return "No Frechet distance is known."
    parts = [f"{name} at NFE {nfe} ({plain(value)})" for nfe, (value, name) in best.items()]
    return f"Lowest mean FD up to each NFE: {', '.join(parts)}."


def by_cost(numbers: Numbers) -> str:
    """What a whole chain costs."""
    last = numbers.results.last
    parts = [f"{method} {plain(numbers.evaluations(method, last) / 1000)}" for method in numbers.results.methods]
    return f"Thousand network evaluations for {last} rounds, training and pairs: {', '.join(parts)}."
