"""Linear autoencoder by round: the closed forms, and whether the measured rounds follow them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pandas as pd
from scipy import stats

from reflowbench.results.statistics import CONFIDENCE, from_moments
from reflowbench.theory.dae.finite_sample import FiniteSample, finite_sample
from reflowbench.theory.dae.recursion import Array, History, gain_bound, population_gains
from reflowbench.theory.params import TheoryDaeParams

FADED = 1e-3
"""Gains are compared, and their decay is followed, down to here: below, what is left is noise of the samples."""


@dataclass(frozen=True)
class Chain:
    """Rounds of one setting and kind of fit, beside the closed forms.

    Attributes:
        noise: q.
        history: `replace` or `accumulate`.
        real: r.
        samples: n.
        fit: `trained` or `least_squares`.
        table: Its lines, by round.
        params: What was run.
    """

    noise: float
    history: History
    real: float
    samples: int
    fit: str
    table: pd.DataFrame
    params: TheoryDaeParams

    @property
    def seeds(self) -> int:
        """Repetitions."""
        return int(self.table["seeds"].iloc[0])

    def mean(self, column: str) -> Array:
        """Mean over repetitions, shape (rounds + 1,)."""
        return self.table[column].to_numpy(dtype=np.float64)

    def half_width(self, column: str) -> Array:
        """Half width of its 95 % t interval; 0 for a single repetition."""
        moments = zip(self.mean(column), self.mean(f"{column}_std"), strict=True)
        return np.array([from_moments(mean, std, self.seeds).half_width or 0 for mean, std in moments])

    @property
    def gains(self) -> Array:
        """Mean gains, shape (rounds + 1, k)."""
        return np.stack([self.mean(f"gains_{i + 1}") for i in range(len(self.params.spectrum))], axis=1)

    @property
    def population(self) -> Array:
        """Gains with infinitely many samples, shape (rounds + 1, k)."""
        p = self.params
        return population_gains(p.spectrum, self.noise, self.real, p.rounds, self.history)

    @cached_property
    def law(self) -> FiniteSample:
        """Gains with n samples a round; of `replace` only."""
        p = self.params
        return finite_sample(p.spectrum, p.dim, self.noise, self.real, p.rounds, self.samples)

    @property
    def bound(self) -> float:
        """Lower bound r s_0 / (r s_0 + q) on the operator norm."""
        return float(gain_bound(self.params.spectrum, self.noise, self.real)[0])

    @property
    def first_gain(self) -> float:
        """w_0 = s_0 / (s_0 + q) of the largest eigenvalue: the bound's rate for r = 0."""
        return float(self.population[0, 0])

    @property
    def faded(self) -> int | None:
        """First round whose operator norm is below FADED; None if there is none."""
        below = np.flatnonzero(self.mean("operator_norm") < FADED)
        return int(below[0]) if len(below) else None

    @property
    def decay(self) -> float:
        """Mean factor per round of the operator norm, up to the last round before it has faded."""
        norm = self.mean("operator_norm")
        last = max(1, (self.faded or len(norm)) - 1)
        return float((norm[last] / norm[0]) ** (1 / last))

    @property
    def below_geometric(self) -> bool:
        """Whether no round before it has faded is above (s_0 / q) g_0^j, which bounds the gain for r = 0."""
        norm = self.mean("operator_norm")[: self.faded]
        geometric = self.params.spectrum[0] / self.noise * self.first_gain ** np.arange(len(norm))
        return bool((norm <= geometric).all())


def chains(table: pd.DataFrame, params: TheoryDaeParams) -> list[Chain]:
    """Chains of a table, in its order.

    Args:
        table: Lines of `theory_dae`, of all noise variances.
        params: What was run.

    Returns:
        One for each setting.
    """
    found = []
    for key, lines in table.groupby(["noise", "history", "real", "samples", "fit"], sort=False):
        noise, history, real, samples, fit = cast("tuple[float, History, float, int, str]", key)
        found.append(Chain(noise, history, real, samples, fit, lines.sort_values("round"), params))
    return found


@dataclass(frozen=True)
class Agreement:
    """How one gain of a chain compares with the closed forms, until it has faded or the finite-sample theory fails.

    Attributes:
        chain: The chain.
        variance: s_0, eigenvalue of the real data's covariance.
        rounds: How many rounds were compared.
        population: Largest |mean - population| in standard errors, which are the finite-sample theory's.
        finite: The same of |mean - mean of the finite-sample theory|.
        inside: Share of rounds whose mean is within 1.96 standard errors of the population's.
        spread: Median over rounds of measured over predicted standard deviation.
    """

    chain: Chain
    variance: float
    rounds: int
    population: float
    finite: float
    inside: float
    spread: float


def agreements(found: Sequence[Chain]) -> Iterator[Agreement]:
    """Compare every gain of the chains of `replace` with both closed forms."""
    for chain in found:
        if chain.history != "replace":
            continue
        law = chain.law
        for i, variance in enumerate(chain.params.spectrum):
            valid = law.valid[:, i] & (chain.population[:, i] >= FADED)
            if not valid.any():
                continue
            error = law.std[valid, i] / chain.seeds**0.5
            gains = chain.gains[valid, i]
            population = np.abs(gains - chain.population[valid, i]) / error
            finite = np.abs(gains - law.mean[valid, i]) / error
            spread = chain.mean(f"gains_{i + 1}_std")[valid] / law.std[valid, i]
            yield Agreement(
                chain,
                variance,
                int(valid.sum()),
                float(population.max()),
                float(finite.max()),
                float((population < stats.norm.ppf((1 + CONFIDENCE) / 2)).mean()),
                float(np.median(spread)),
            )


def simultaneous(found: Sequence[Agreement]) -> float:
    """Standard errors within which all compared rounds lie together with 95 % probability (Bonferroni)."""
    return float(stats.norm.ppf(1 - (1 - CONFIDENCE) / 2 / sum(a.rounds for a in found)))
