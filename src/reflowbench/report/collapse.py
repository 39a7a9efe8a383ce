"""Verdicts in words, and the tables behind them."""

from __future__ import annotations

import math

import pandas as pd

from reflowbench.report.tables import FD, models, plain, table
from reflowbench.results.access import BASELINE, Results
from reflowbench.results.statistics import Interval, interval, paired_test
from reflowbench.results.verdicts import ASPECTS, INCONCLUSIVE, MARGIN, STABLE, aspect, verdict

METRICS = {
    FD: "FD",
    f"{FD}_infinity": "FD at n = ∞",
    "precision": "precision",
    "density": "density",
    "recall": "recall",
    "coverage": "coverage",
    "variance_ratio": "variance",
    "effective_rank": "effective rank",
    "vendi_score": "Vendi score",
    "class_score": "class score",
    "class_entropy": "class entropy",
    "missing_classes": "missing classes",
    "near_duplicates": "near duplicates",
}
"""Columns of the table of all metrics."""


SURE = 2
"""Standard errors over samples beyond which the two models of a seed are counted as different."""


def verdicts(results: Results) -> str:
    """One line for each method, with words and numbers."""
    few, many, last = results.nfes[0], results.nfes[-1], results.last
    phrases = {STABLE: "FD is **stable**", INCONCLUSIVE: "the growth of FD is **inconclusive**"}
    lines = []
    for method in results.methods:
        found = verdict(results, method, many)
        parts = [f"{name} {word} ({change})" for name, word, change in aspect_words(results, method, many, last)]
        sentence = ", ".join(parts)
        line = (
            f"- **{method}**: {phrases.get(found.word, f'FD **{found.word}**')}, {factor(found.change)} a round since "
            f"the base. {sentence[0].upper()}{sentence[1:]}. FD at NFE {few} goes from "
            f"{results.over_seeds(method, 0, FD, few)} to {results.over_seeds(method, last, FD, few)}."
        )
        if method != BASELINE and BASELINE in results.methods:
            line += " " + comparison(results.against(method, BASELINE, FD, many), last)
        lines.append(line)
    return "\n".join(lines)


def rule(results: Results) -> str:
    """How words follow from intervals."""
    seeds, last = len(results.seeds), results.last
    first = f"Growth since round {results.first} is shown because one round may improve the base. "
    return (
        f"Growth a round is log(FD_{last} / FD_s) / ({last} - s) of each seed, from round s to round {last}. It is "
        f"shown as a factor ({results.solver}, NFE {results.nfes[-1]}). {first * (len(results.starts) > 1)}The verdict "
        f"is on the growth since the base, over {seeds} seed{'s' * (seeds > 1)}. *stable*: the whole 95 % interval "
        f"lies within {MARGIN:.0%} a round. Otherwise *grows* or *shrinks*: the 95 % interval excludes 0. Otherwise "
        "*inconclusive*."
        f"{' One seed has no interval, so every verdict is inconclusive.' * (seeds == 1)}"
    )


def word_of(results: Results, method: str) -> str:
    """The verdict since the base, and since the first round where it differs."""
    words = {start: verdict(results, method, results.nfes[-1], start).word for start in results.starts}
    others = [f"since round {start}: {word}" for start, word in words.items() if word != words[0]]
    return f"{words[0]} ({', '.join(others)})" if others else words[0]


def factor(growth: Interval) -> str:
    """Growth of a logarithm as a factor with its interval."""
    if math.isnan(growth.mean):
        return "missing"
    low, high = growth.bounds
    bounds = "" if growth.half_width is None else f" ({math.exp(low):.3g} to {math.exp(high):.3g})"
    return f"x {math.exp(growth.mean):.3g}{bounds}"


def aspect_words(results: Results, method: str, nfe: int, k: int) -> list[tuple[str, str, str]]:
    """Each aspect of a model with its word and its relative change to the base."""
    found = {name: aspect(results, method, name, nfe, k) for name in ASPECTS}
    return [(name, verdict_.word, percent(verdict_.change)) for name, verdict_ in found.items()]


def percent(change: Interval) -> str:
    """A relative change with its interval: in per cent, or as a factor if it is large."""
    if math.isnan(change.mean):
        return "missing"
    if change.mean > 1:
        return f"x {Interval(1 + change.mean, change.half_width, change.n)}"
    return in_percent(change, "+")


def in_percent(share: Interval, sign: str = "") -> str:
    """A share in per cent with its half width, to two digits; `sign` as in a format."""
    width = "" if share.half_width is None else f" ± {_short(100 * share.half_width):g}"
    return f"{_short(100 * share.mean):{sign}g}{width} %"


def _short(value: float) -> float:
    """Two digits, so that `:g` writes no exponent."""
    return float(f"{value:.2g}")


def comparison(difference: Interval, last: int) -> str:
    """How the Frechet distance of a method compares with that of Reflow, by the paired difference after a round."""
    if difference.half_width is None:  # one seed, or a missing value
        return f"After round {last}, the paired difference to {BASELINE} is {difference}."
    words = {-1: "is lower than that of", 1: "is higher than that of", 0: "does not differ significantly from that of"}
    return f"After round {last}, FD {words[difference.sign]} {BASELINE} (paired difference {difference})."


def aspect_table(results: Results) -> str:
    """Quality, diversity and coverage of each method's last model relative to its base, in few steps and in many."""
    nfes = list(dict.fromkeys((results.nfes[-1], results.nfes[0])))
    rows = []
    for method in results.methods:
        found = [cell for nfe in nfes for cell in aspect_words(results, method, nfe, results.last)]
        rows.append([method, *(f"{word} ({change})" for _, word, change in found)])
    return table(["method", *(f"{name}, NFE {nfe}" for nfe in nfes for name in ASPECTS)], rows)


def aspects_by_round(results: Results) -> str:
    """The words alone, for every model: quality, diversity, coverage in many steps."""
    many, rounds = results.nfes[-1], results.rounds[1:]
    rows = [
        [method, *(", ".join(word for _, word, _ in aspect_words(results, method, many, k)) for k in rounds)]
        for method in results.methods
    ]
    return table(["method", *(f"k = {k}" for k in rounds)], rows)


def metric_table(results: Results, nfe: int) -> str:
    """Every metric of images: real ones, the base model, and each method's last model."""
    real = ["real images", *(plain(results.floor(metric)) for metric in METRICS)]
    rows = [
        [label, *(str(results.over_seeds(method, k, metric, nfe)) for metric in METRICS)]
        for label, method, k in models(results)
    ]
    return table(["model", *METRICS.values()], [real, *rows])


def paired_table(paired: pd.DataFrame, nfe: int) -> str:
    """Paired tests of FD on the same noise at an NFE: over seeds, and within each seed against its sampling error."""
    at = paired[paired["nfe"] == nfe]
    rounds = sorted(at["round"].unique())
    header = [f"{name}, round {k}" for k in rounds for name in ("over seeds", "p", "error", f"beyond {SURE} errors")]
    rows = []
    for (method, reference), pair in at.groupby(["method", "reference"], sort=False):
        rows.append([f"{method} - {reference}"])
        for k in rounds:
            group = pair[pair["round"] == k]
            errors, differences = group["error"], group["difference"].tolist()
            error, sure = "missing", "missing"
            if not errors.isna().any():
                error = f"{(errors**2).mean() ** 0.5:.2g}"
                sure = f"{(group['difference'].abs() > SURE * errors).sum()} of {len(group)}"
            p = paired_test(differences)
            rows[-1] += [str(interval(differences)), "" if p is None else f"{p:.2g}", error, sure]
    return table(["difference", *header], rows)


def missing_list(results: Results) -> str:
    """Metrics that could not be computed, and why; empty if there are none."""
    own = (results.table["round"] > 0) | (results.table["method"] == results.methods[0])  # round 0 is the base of all
    absent = results.table[own & results.table["value"].isna()]
    lines = []
    for (metric, reason), group in absent.groupby(["metric", "missing"], sort=False):
        cells = ["base"] if (group["round"] == 0).any() else []
        cells += sorted({f"{row.method} k = {row.round}" for row in group[group["round"] > 0].itertuples()})
        shown = ", ".join(cells[:4]) + (f" and {len(cells) - 4} more" if len(cells) > 4 else "")
        lines.append(f"- {metric} ({len(group)} values; {shown}): {reason}")
    return "\n".join(lines)
