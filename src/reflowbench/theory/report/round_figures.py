"""Figures of the linear autoencoder by round: closed forms as lines, what was measured as marks with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reflowbench.report.drawing import COLOURS, MARKERS, save
from reflowbench.theory.report.rounds import FADED, Chain

_MARKED = 15
"""About so many rounds get a mark, most of them early, where things happen."""


def panels(
    rows: int, columns: int, width: float, height: float, layout: str | None = "constrained", **shared: Any
) -> tuple[Any, Any]:
    """A figure of panels, each of the given size in inches, and the panels as a two-dimensional array."""
    from matplotlib import pyplot

    size = (width * columns, height * rows + 0.4)
    figure, axes = pyplot.subplots(rows, columns, figsize=size, layout=layout, squeeze=False, **shared)
    for panel in axes.flat:
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _marked(rounds: int) -> Any:
    return np.unique((np.linspace(0, 1, _MARKED) ** 2 * rounds).round().astype(int))


def _label(chain: Chain) -> str:
    if chain.history == "accumulate":
        return "all rounds kept, r = 0" if not chain.real else f"all rounds kept, r = {chain.real:g}"
    return f"r = {chain.real:g}"


def _measured(axes: Any, chain: Chain, index: int, column: str) -> None:
    at = _marked(chain.params.rounds)
    mean, half = chain.mean(column), chain.half_width(column)
    axes.errorbar(
        at,
        mean[at],
        yerr=half[at],
        fmt=MARKERS[index % len(MARKERS)],
        color=_colour(index),
        markersize=4,
        capsize=2,
        linewidth=1,
        label=_label(chain),
    )


def rounds_figure(found: Sequence[Chain], path: Path) -> None:
    """Operator norm by round, of the trained autoencoder with most samples: linear above, logarithmic below."""
    chains = [c for c in found if c.fit == "trained" and c.samples == max(c.samples for c in found)]
    noises = list(dict.fromkeys(c.noise for c in chains))
    figure, axes = panels(2, len(noises), 4.6, 3.2, sharex=True, sharey="row")
    for column, noise in enumerate(noises):
        for index, chain in enumerate(c for c in chains if c.noise == noise):
            x = np.arange(chain.params.rounds + 1)
            for axis in axes[:, column]:
                axis.plot(x, chain.population[:, 0], color=_colour(index), linewidth=1.2)
                _measured(axis, chain, index, "operator_norm")
                if chain.real:
                    axis.axhline(chain.bound, color=_colour(index), linestyle=":", linewidth=1)
            if not chain.real and chain.history == "replace":
                decay = chain.params.spectrum[0] / noise * chain.first_gain**x
                axes[1, column].plot(x, decay, "--", color=_colour(index), linewidth=1, label="geometric bound, r = 0")
        axes[0, column].set(title=f"noise variance q = {noise:g}", ylim=(0, 1))
        axes[1, column].set(yscale="log", ylim=(FADED, 2), xlabel="round")
    for axis in axes[:, 0]:
        axis.set_ylabel("operator norm of the autoencoder")
    axes[1, -1].legend(fontsize=7, loc="lower right")
    chain = chains[0]
    figure.suptitle(
        f"Linear autoencoder trained on its own outputs: lines population, marks trained on {chain.samples} samples a "
        f"round\n(95 % intervals, {chain.seeds} repetitions), dotted: lower bound r s\u2080 / (r s\u2080 + q)",
        fontsize=9,
    )
    save(figure, path)


def samples_figure(found: Sequence[Chain], path: Path) -> None:
    """Gains of the trained autoencoder with fewest samples, beside what finite-sample theory says."""
    chains = [c for c in found if c.fit == "trained" and c.samples == min(c.samples for c in found)]
    chains = [c for c in chains if c.history == "replace"]
    noises, shares = (list(dict.fromkeys(getattr(c, name) for c in chains)) for name in ("noise", "real"))
    figure, axes = panels(len(noises), len(shares), 2.9, 2.6, sharex=True, sharey=True)
    for chain in chains:
        axis = axes[noises.index(chain.noise), shares.index(chain.real)]
        law, x = chain.law, np.arange(chain.params.rounds + 1)
        for i, variance in enumerate(chain.params.spectrum):
            ok, colour = law.valid[:, i], _colour(i)
            axis.plot(x, chain.population[:, i], "--", color=colour, linewidth=0.9)
            error = 1.96 * law.std[:, i] / chain.seeds**0.5
            low, high = law.mean[:, i] - error, law.mean[:, i] + error
            axis.fill_between(x, low, high, where=ok, color=colour, alpha=0.35, linewidth=0)
            at = _marked(chain.params.rounds)
            mean, half = chain.gains[:, i], chain.half_width(f"gains_{i + 1}")
            axis.errorbar(at, mean[at], yerr=half[at], fmt=MARKERS[i % len(MARKERS)], color=colour, markersize=3,
                          capsize=1.5, linewidth=0.8, label=f"s\u2080 = {variance:g}")  # fmt: skip
        axis.set_title(f"q = {chain.noise:g}, r = {chain.real:g}", fontsize=9)
        axis.set_ylim(0, 1)
    for axis in axes[-1]:
        axis.set_xlabel("round")
    for axis in axes[:, 0]:
        axis.set_ylabel("gain along an eigenvector")
    axes[0, 0].legend(fontsize=7, loc="upper right")
    figure.suptitle(
        f"{chains[0].samples} samples a round: marks measured (95 % intervals of the mean of {chains[0].seeds} "
        "repetitions), dashed population, bands finite-sample theory (95 % of the mean), where it holds",
        fontsize=9,
    )
    save(figure, path)


def errors_figure(found: Sequence[Chain], path: Path) -> None:
    """Singular values, subspace angle and generation error by round, for most and fewest samples."""
    chains = [c for c in found if c.fit == "trained" and c.noise == found[0].noise]
    sizes = sorted({c.samples for c in chains}, reverse=True)
    figure, axes = panels(3, len(sizes), 4.6, 2.5, sharex=True, sharey="row")
    for column, size in enumerate(sizes):
        for index, chain in enumerate(c for c in chains if c.samples == size):
            for row, (name, factor) in enumerate((("generation_error", 1.0), ("subspace_angle", 180 / np.pi))):
                mean, half = factor * chain.mean(name), factor * chain.half_width(name)
                x = np.arange(len(mean))
                axes[row, column].plot(x, mean, color=_colour(index), linewidth=1.2, label=_label(chain))
                low, high = np.maximum(mean - half, 0), np.minimum(mean + half, 90 if row else np.inf)
                axes[row, column].fill_between(x, low, high, color=_colour(index), alpha=0.25)
            if chain.history == "replace":
                for i in range(chain.params.dim):
                    values = chain.mean(f"singular_values_{i + 1}")
                    axes[2, column].plot(values, color=_colour(index), linewidth=1.2 - 0.12 * i)
        axes[0, column].set_title(f"{size} samples a round, q = {found[0].noise:g}", fontsize=9)
        axes[2, column].set_xlabel("round")
    for axis, label in zip(
        axes[:, 0], ("generation error\n(W2\u00b2 / real variance)", "subspace angle\n(degrees)",
                     "singular values\nof the autoencoder"), strict=True,
    ):  # fmt: skip
        axis.set_ylabel(label)
    axes[2, 0].set_ylim(0, 1)
    axes[1, 0].legend(fontsize=7, loc="center right")
    figure.suptitle("What a trained linear autoencoder loses (bands: 95 % intervals)", fontsize=9)
    save(figure, path)
