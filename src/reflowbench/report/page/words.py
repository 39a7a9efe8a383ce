"""What the page says in words: who collapsed, what was lost, what it bought and cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reflowbench.report.collapse import comparison, factor, percent, rule
from reflowbench.report.page.charts import frontier, shape_of
from reflowbench.report.page.markup import Html, element, join, prose, text
from reflowbench.report.page.numbers import Numbers, colour_of
from reflowbench.report.tables import FD, cost_columns, plain
from reflowbench.results.access import BASELINE
from reflowbench.results.verdicts import ASPECTS, aspect, verdict


def marker(index: int) -> Html:
    """A method's marker, as in the charts."""
    path = element("path", d=shape_of(index), fill=colour_of(index))
    return element("svg", path, class_="marker", viewBox="-1.4 -1.4 2.8 2.8", aria_hidden="true")


def listed(names: Sequence[str]) -> str:
    """Names as in a sentence: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def summary(numbers: Numbers) -> Html:
    """The answer in five lines."""
    results = numbers.results
    few, many, last = results.nfes[0], results.nfes[-1], results.rounds[-1]
    words = {method: verdict(results, method, many).word for method in results.methods}

    def who(title: str, kind: str, *wanted: str) -> tuple[str, str, Html]:
        found = listed([method for method, word in words.items() if word in wanted])
        return title, kind if found else "", element("strong", found or "none for certain")

    def frechet(nfe: int) -> Html:
        ends = ", ".join(f"{method} {numbers.at(method, last, FD, nfe)}" for method in results.methods)
        return text(f"FD at NFE {nfe}: base {numbers.at(results.methods[0], 0, FD, nfe)}; after round {last} {ends}.")

    costs = ", ".join(
        f"{method} {forward} + {inversion}"
        for method in results.methods
        for forward, inversion in [cost_columns(results, method)]
    )
    lines = [who("Collapsed", "collapsed", "collapses"), who("Held or improved", "held", "holds", "improves")]
    if "undecided" in words.values():
        lines.append(who("Undecided", "undecided", "undecided"))
    lines += [("Many steps", "", frechet(many)), ("One step" if few == 1 else "Few steps", "", frechet(few))]
    price = f"Network evaluations for pairs per training evaluation, forward + inverted: {costs}."
    lines.append(("Price", "", text(price)))
    return element(
        "dl",
        *(element("div", element("dt", term), element("dd", value), class_=kind) for term, kind, value in lines),
        class_="summary",
    )


def card(numbers: Numbers, index: int) -> Html:
    """One method: its verdict, what the verdict rests on, what was lost, what it costs."""
    results = numbers.results
    method, few, many, last = results.methods[index], results.nfes[0], results.nfes[-1], results.rounds[-1]
    found = verdict(results, method, many)
    facts = [
        (
            f"FD, NFE {nfe}",
            join([_whole(f"{numbers.at(method, 0, FD, nfe)} →"), _whole(numbers.at(method, last, FD, nfe))], " "),
        )
        for nfe in dict.fromkeys((many, few))
    ]
    for name in ASPECTS:
        change = aspect(results, method, name, many, last)
        word = element("b", change.word, class_=change.word)
        facts.append((name, join([word, _whole(percent(change.change))], " ")))
    forward, inversion = cost_columns(results, method)
    facts.append(("pairs cost", join([_whole(f"{forward} forward,"), _whole(f"{inversion} inverted")], " ")))
    parts = [
        element("h3", marker(index), method, " ", element("span", found.word, class_=f"badge {found.word}")),
        element("p", factor(found.change)),
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
    """The rules behind the words."""
    named = ", ".join(f"{metric} ({name})" for name, metric in ASPECTS.items())
    return element(
        "details",
        element("summary", "How these words are decided"),
        element("p", prose(rule(numbers.results))),
        element(
            "p",
            prose(
                f"Quality, diversity and coverage are relative changes of {named} since the base model, judged by the "
                "same margin: *kept*, else *lost* or *gained*, else *undecided*. Quality gained beside lost diversity "
                "means typical samples, not better ones. FD alone does not say what was lost."
            ),
        ),
    )


def by_round(numbers: Numbers, metric: str, nfe: int, name: str) -> str:
    """What a chart by round shows, in words."""
    results = numbers.results
    last, base = results.rounds[-1], numbers.at(results.methods[0], 0, metric, nfe)
    ends = ", ".join(f"{method} {numbers.at(method, last, metric, nfe)}" for method in results.methods)
    real = numbers.floor(metric)
    floor = "" if math.isnan(real) else f" Real images: {plain(real)}."
    return f"At NFE {nfe}, {name} goes from {base} (base model) to {ends} after round {last}.{floor}"


def by_nfe(numbers: Numbers) -> str:
    """Who is best within how many steps."""
    best = frontier(numbers)
    if not best:
        return "No Frechet distance is known."
    parts = [f"{name} at NFE {nfe} ({plain(value)})" for nfe, (value, name) in best.items()]
    return f"Lowest mean FD within so many evaluations: {', '.join(parts)}."


def by_cost(numbers: Numbers) -> str:
    """What a whole chain costs."""
    last = numbers.results.rounds[-1]
    parts = [f"{method} {plain(numbers.evaluations(method, last) / 1000)}" for method in numbers.results.methods]
    return f"Thousand network evaluations for {last} rounds, training and pairs: {', '.join(parts)}."
