"""What collapsed, what was lost, and how sure that is: verdicts and the tables behind them."""

from __future__ import annotations

import math

import pandas as pd

from reflowbench.report.tables import FD, models, plain, table
from reflowbench.results.access import BASELINE, Results
from reflowbench.results.statistics import Interval, interval, paired_test
from reflowbench.results.verdicts import ASPECTS, MARGIN, Verdict, aspect, verdict

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
"""Standard errors over samples beyond which two given models are counted as different."""


def verdicts(results: Results) -> str:
    """What happened, in sentences that follow from the intervals alone."""
    few, many, last = results.nfes[0], results.nfes[-1], results.rounds[-1]
    lines = [f"{rule(results)}\n"]
    for method in results.methods:
        found = verdict(results, method, many)
        one_base, one_last = (results.over_seeds(method, k, FD, few) for k in (0, last))
        line = (
            f"- **{method}** {_phrase(found)}: {factor(found.change)}. {_aspects(results, method)} "
            f"FD at NFE {few} goes from {one_base} to {one_last}."
        )
        if method != BASELINE and BASELINE in results.methods:
            line += " " + comparison(results.against(method, BASELINE, FD, many), last)
        lines.append(line)
    return "\n".join(lines)


def rule(results: Results) -> str:
    """How a method's verdict follows from its Frechet distances."""
    seeds, many, last = len(results.seeds), results.nfes[-1], results.rounds[-1]
    return (
        f"By the Theil-Sen slope of log FD over rounds 0 to {last} ({results.solver}, NFE {many}; 95 % interval over "
        f"{seeds} seed{'s' if seeds > 1 else ''}): a method *holds* if FD certainly changes by less than "
        f"{MARGIN:.0%} a round; if not, it *collapses* or *improves* if FD certainly rises or falls; else it is "
        "*undecided*."
        f"{'' if seeds > 1 else ' One seed has no interval, so nothing is certain.'}"
    )


def _phrase(found: Verdict) -> str:
    return "is **undecided**" if found.word == "undecided" else f"**{found.word}**"


def factor(slope: Interval) -> str:
    """A slope of a logarithm as a factor with its interval."""
    if math.isnan(slope.mean):
        return "FD by round is missing"
    low, high = slope.bounds
    bounds = "" if slope.half_width is None else f" ({math.exp(low):.3g} to {math.exp(high):.3g})"
    return f"FD x {math.exp(slope.mean):.3g}{bounds} a round"


def _aspects(results: Results, method: str) -> str:
    """Say it like `Quality kept (+1 ± 2 %), diversity lost (-39 ± 2 %), coverage undecided (-3 ± 9 %).`."""
    last, many = results.rounds[-1], results.nfes[-1]
    parts = []
    for name in ASPECTS:
        found = aspect(results, method, name, many, last)
        parts.append(f"{name} {found.word} ({percent(found.change)})")
    sentence = ", ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def percent(change: Interval) -> str:
    """A relative change with its interval: in per cent, or as a factor if it is large."""
    if math.isnan(change.mean):
        return "missing"
    if change.mean > 1:
        return f"x {Interval(1 + change.mean, change.half_width, change.n)}"
    width = "" if change.half_width is None else f" ± {_short(100 * change.half_width):g}"
    return f"{_short(100 * change.mean):+g}{width} %"


def _short(value: float) -> float:
    """Two digits, so that `:g` writes no exponent."""
    return float(f"{value:.2g}")


def comparison(difference: Interval, last: int) -> str:
    """How a method ends against plain Reflow, by the paired difference in FD after a round."""
    verdict_ = {
        -1: f"It ends with lower FD than {BASELINE}",
        1: f"It does **not** help here: it ends with higher FD than {BASELINE}",
        0: f"It does **not** certainly differ from {BASELINE} in the end",
    }[difference.sign]
    return f"{verdict_} (paired difference after round {last}: {difference})."


def aspect_table(results: Results) -> str:
    """Quality, diversity and coverage of each method's last model relative to its base, in few steps and in many."""
    last = results.rounds[-1]
    columns = [(name, nfe) for nfe in dict.fromkeys((results.nfes[-1], results.nfes[0])) for name in ASPECTS]
    rows = []
    for method in results.methods:
        found = [aspect(results, method, name, nfe, last) for name, nfe in columns]
        rows.append([method, *(f"{f.word} ({percent(f.change)})" for f in found)])
    return table(["method", *(f"{name}, NFE {nfe}" for name, nfe in columns)], rows)


def aspects_by_round(results: Results) -> str:
    """The words alone, for every model: quality, diversity, coverage in many steps."""
    many, rounds = results.nfes[-1], results.rounds[1:]
    rows = [
        [method, *(", ".join(aspect(results, method, name, many, k).word for name in ASPECTS) for k in rounds)]
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


def paired_table(paired: pd.DataFrame, results: Results) -> str:
    """Paired tests of FD on the same noise: over seeds, and within each seed against its sampling error."""
    rows = []
    for (method, reference, nfe), group in paired.groupby(["method", "reference", "nfe"], sort=False):
        if nfe not in (results.nfes[0], results.nfes[-1]):
            continue
        errors = group["error"]
        error, sure = "missing", "missing"
        if not errors.isna().any():
            error = f"{(errors**2).mean() ** 0.5:.2g}"
            sure = f"{(group['difference'].abs() > SURE * errors).sum()} of {len(group)}"
        differences = group["difference"].tolist()
        p = paired_test(differences)
        shown = "" if p is None else f"{p:.2g}"
        rows.append([f"{method} - {reference}", str(nfe), str(interval(differences)), shown, error, sure])
    header = ["difference", "NFE", "over seeds", "p (paired t)", "standard error over samples"]
    return table([*header, f"seeds beyond {SURE} errors"], rows)


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
