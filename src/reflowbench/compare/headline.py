"""The headline metrics of two revisions, method by method: their changes and 95 % intervals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from reflowbench.errors import ReflowbenchError
from reflowbench.results.access import Results
from reflowbench.results.statistics import CONFIDENCE, Interval, interval, paired_test
from reflowbench.results.verdicts import ASPECTS, GROWS, GROWTH_MARGIN, MARGIN, SHRINKS, word

FD = "frechet_distance"
EQUAL = "same numbers"
MISSING = "a value is missing"
TRAINING_PASS = 3
"""Cost of a forward and a backward pass, in forward passes."""
EVALUATIONS = {"train_evaluations": TRAINING_PASS, "forward_evaluations": 1, "inversion_evaluations": 1}
"""What a model's network evaluations cost, in forward passes."""


@dataclass(frozen=True)
class Headline:
    """One metric that is compared.

    Attributes:
        name: What it is called.
        values: One value per seed of a method.
        loss: What of a value should be small: itself, its negative, or its distance from 1.
        metric: Its name in the table, whose conditions must be the same in both; empty for the cost, which is
            counted, so that it has no uncertainty.
        growth: Whether values are growths of a logarithm a round, which have a margin and a verdict of their own.
    """

    name: str
    values: Callable[[Results, str], list[float]]
    loss: Callable[[float], float]
    metric: str = ""
    growth: bool = False


@dataclass(frozen=True)
class Difference:
    """How far a metric of a method moved.

    Attributes:
        method: Method.
        metric: Name of the metric.
        before: Over the seeds of the first revision, with a word where there is a verdict; empty if not comparable.
        after: Of the second one.
        change: After minus before, with its interval; NaN where there is none.
        p: That the change is zero, by a t-test; None where there is no test.
        word: The word for the change by `verdicts.word`, EQUAL, MISSING, or why the two are not comparable.
        better: 1 if the change is for the better, -1 if for the worse, 0 if neither is significant.
    """

    method: str
    metric: str
    before: str
    after: str
    change: Interval
    p: float | None
    word: str
    better: int = 0


class Looked(Results):
    """The same access for a table that is looked at often: read once, where `Results` searches it at every look."""

    @cached_property
    def _values(self) -> dict[tuple[str, int, str, int], list[float]]:
        values: dict[tuple[str, int, str, int], list[float]] = defaultdict(list)
        for metric in self.table["metric"].unique():
            rows = self.headline(metric)
            rows = rows[rows["solver"] == self.solver].sort_values("seed", kind="stable")
            columns = (rows[name].tolist() for name in ("method", "round", "nfe", "value"))
            for method, k, nfe, value in zip(*columns, strict=True):
                values[method, k, metric, nfe].append(value)
        return values

    def per_seed(self, method: str, k: int, metric: str, nfe: int | None = None) -> list[float]:
        """See `Results.per_seed`; of the fixed-step solver's samples."""
        return super().per_seed(method, k, metric, nfe) if nfe is None else self._values[method, k, metric, nfe]


def comparable(before: pd.DataFrame, after: pd.DataFrame) -> tuple[Results, Results]:
    """Headline metrics of both tables, on the rounds and NFE that both have: growth over other rounds differs.

    Args:
        before: A tidy table.
        after: Another one.

    Returns:
        Access to each.

    Raises:
        ReflowbenchError: If they share no round after the base model, no NFE, or no solver.
    """
    tables, solvers = (before, after), [Results(table).solver for table in (before, after)]
    if solvers[0] != solvers[1]:
        raise ReflowbenchError(f"results by different solvers ({' and '.join(solvers)}) cannot be compared")
    rounds = set(Results(before).rounds) & set(Results(after).rounds)
    nfes = set(Results(before).nfes) & set(Results(after).nfes)
    if not nfes or max(rounds, default=0) == 0:
        raise ReflowbenchError("the two results have no round or no NFE in common: nothing can be compared")
    shared = []
    for table in tables:
        stepped = (table["nfe"] > 0) & (table["solver"] == solvers[0])
        wanted = table["metric"].isin([FD, *ASPECTS.values(), *EVALUATIONS])
        rows = wanted & table["round"].isin(rounds) & (~stepped | table["nfe"].isin(nfes))
        shared.append(Looked(table[rows]))
    return shared[0], shared[1]


def headlines(results: Results) -> list[Headline]:
    """The metrics that are compared, at the last round, the highest NFE and the lowest one."""
    k, few, many = results.last, results.nfes[0], results.nfes[-1]

    def at(metric: str, nfe: int) -> Callable[[Results, str], list[float]]:
        return lambda r, method: r.per_seed(method, k, metric, nfe)

    def growth(start: int) -> Headline:
        since = f"round {start}" if start else "base"
        name = f"log growth of FD a round since {since}, NFE {many}"
        return Headline(name, lambda r, method: r.growths(method, FD, many, start), _low, FD, growth=True)

    return [
        Headline(f"FD, NFE {many}", at(FD, many), _low, FD),
        Headline(f"FD, NFE {few}", at(FD, few), _low, FD),
        *map(growth, results.starts),
        *(Headline(metric, at(metric, many), _high, metric) for metric in (ASPECTS["quality"], ASPECTS["coverage"])),
        Headline(ASPECTS["diversity"], at(ASPECTS["diversity"], many), _from_one, ASPECTS["diversity"]),
        Headline("thousand evaluations a round", _costs, _low),
    ]


def differences(before: Results, after: Results) -> list[Difference]:
    """Compare every headline metric of every method that both have.

    Args:
        before: First revision, as `comparable` gives it.
        after: Second one.

    Returns:
        In the order of `headlines`, then of the methods of the first.
    """
    return [
        _difference(headline, method, before, after, reason)
        for headline, reason in ((h, _unlike(h.metric, before, after)) for h in headlines(before))
        for method in before.methods
        if method in after.methods
    ]


def _difference(headline: Headline, method: str, before: Results, after: Results, unlike: str) -> Difference:
    if unlike:
        return Difference(method, headline.name, "", "", Interval(math.nan, None, 0), None, unlike)
    old, new = headline.values(before, method), headline.values(after, method)
    first, second = number(interval(old)), number(interval(new))
    if headline.growth and old != new:
        first += f" ({word(interval(old), GROWTH_MARGIN)})"
        second += f" ({word(interval(new), GROWTH_MARGIN)})"
    paired = before.seeds == after.seeds
    change, p = change_over_seeds(old, new, paired)
    if math.isnan(change.mean):
        return Difference(method, headline.name, first, second, change, p, MISSING)
    if (paired and old == new) or (not headline.metric and change.mean == 0):
        return Difference(method, headline.name, first, second, change, p, EQUAL)
    judged = change if headline.metric else Interval(change.mean, 0.0, change.n)
    found = word(judged, GROWTH_MARGIN if headline.growth else MARGIN * abs(interval(old).mean))
    better = 0
    if found in (GROWS, SHRINKS):
        loss, _ = change_over_seeds(list(map(headline.loss, old)), list(map(headline.loss, new)), paired)
        better = -loss.sign if headline.metric else (loss.mean < 0) - (loss.mean > 0)
    return Difference(method, headline.name, first, second, change, p, found, better)


def change_over_seeds(old: Sequence[float], new: Sequence[float], paired: bool) -> tuple[Interval, float | None]:
    """Mean change with its 95 % interval, and the p of its being zero.

    Args:
        old: One value per seed.
        new: One value per seed.
        paired: Whether both are of the same seeds, in the same order: then seed by seed, which takes out what
            the seeds share. Otherwise by Welch's test, which takes the two for independent.

    Returns:
        New minus old, without a half width where a side has one seed only or a value is missing; and p.
    """
    if paired:
        changes = [b - a for a, b in zip(old, new, strict=True)]
        return interval(changes), paired_test(changes)
    from scipy import stats

    mean = sum(new) / len(new) - sum(old) / len(old)
    if min(len(old), len(new)) < 2 or math.isnan(mean) or len({*old}) == len({*new}) == 1:
        return Interval(mean, None, min(len(old), len(new))), None
    test = stats.ttest_ind(new, old, equal_var=False)
    low, high = test.confidence_interval(CONFIDENCE)
    return Interval(mean, float(high - low) / 2, min(len(old), len(new))), float(test.pvalue)


def number(value: Interval) -> str:
    """As `Interval` writes it, but without a `± 0` where all seeds are equal."""
    return f"{value.mean:.4g}" if value.half_width == 0 else str(value)


def _unlike(metric: str, before: Results, after: Results) -> str:
    """Why values of a metric are not of one kind; empty if they are."""
    if not metric:
        return ""
    if before.headline(metric).empty or after.headline(metric).empty:
        return f"not comparable: {metric} was not measured"
    (old, n_old), (new, n_new) = before.conditions(metric), after.conditions(metric)
    if old != new:
        return f"not comparable: features {old}, {new}"
    return f"not comparable: {n_old}, {n_new} samples" if n_old != n_new else ""


def _costs(results: Results, method: str) -> list[float]:
    """Network evaluations of a round by seed, in thousands of samples; a training pass counts as three of them."""
    table = results.table[(results.table["method"] == method) & (results.table["round"] > 0)]
    spent = table["value"] * table["metric"].map(EVALUATIONS)
    rounds = len(results.rounds) - (0 in results.rounds)
    return [float(total) / rounds / 1000 for total in spent.groupby(table["seed"]).sum()]


def _low(value: float) -> float:
    return value


def _high(value: float) -> float:
    return -value


def _from_one(value: float) -> float:
    return abs(value - 1)
