"""The page of the theory stages: what the closed forms say, and what was measured of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from reflowbench.theory.params import TheoryPhaseParams
from reflowbench.theory.report import phase
from reflowbench.theory.report.flows import NAMES, Flows, has, table
from reflowbench.theory.report.rounds import FADED, Agreement, Chain, agreements, simultaneous

DISTANCES = ("bures", "sliced_wasserstein")
"""Scores that are shown at every NFE; the others at the highest."""


def _rows(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("--:" for _ in head) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def _of_size(found: Sequence[Chain], samples: int) -> list[Agreement]:
    return list(agreements([c for c in found if c.samples == samples and c.fit == "trained"]))


def _agreement(found: Sequence[Chain], samples: int) -> str:
    compared = _of_size(found, samples)
    if not compared:
        return f"**{samples} samples a round**: so few that the finite-sample theory holds in no round."
    limit = simultaneous(compared)
    rounds = sum(a.rounds for a in compared)
    outside = {name: sum(getattr(a, name) > limit for a in compared) for name in ("population", "finite")}
    intro = (
        f"**{samples} samples a round**, {compared[0].chain.seeds} repetitions: {len(compared)} gains, {rounds} "
        f"rounds in all. {limit:.2f} standard errors is the simultaneous 95 % interval. "
        f"The population recursion is outside of it for {outside['population']} of {len(compared)} gains, "
        f"finite-sample theory for {outside['finite']}."
    )
    head = ("q", "r", "s\u2080", "rounds", "population", "finite-sample", "inside", "spread")
    rows = [
        [f"{value:g}" for value in (a.chain.noise, a.chain.real, a.variance, a.rounds)]
        + [f"{a.population:.2f}", f"{a.finite:.2f}", f"{a.inside:.0%}", f"{a.spread:.2f}"]
        for a in compared
    ]
    return intro + "\n\n" + _rows(head, rows)


def _bounds(found: Sequence[Chain]) -> str:
    head = (
        "q",
        "r",
        "samples",
        "bound",
        "lowest mean",
        "in round",
        "its 95 % interval",
        "lowest of a repetition",
        "verdict",
    )
    rows = []
    for chain in found:
        if chain.fit != "trained" or chain.history != "replace" or not chain.real:
            continue
        gain, half = chain.mean("gains_1"), chain.half_width("gains_1")
        at, single = int(gain.argmin()), chain.mean("gains_1_min").min()
        verdict = "above in every repetition" if single >= chain.bound else "mean above, single repetitions below"
        if gain[at] < chain.bound:
            verdict = "below by less than its interval" if gain[at] + half[at] >= chain.bound else "**below**"
        row = [f"{v:g}" for v in (chain.noise, chain.real)] + [str(chain.samples)]
        row += [f"{v:.4g}" for v in (chain.bound, gain[at])] + [str(at), f"\u00b1 {half[at]:.2g}", f"{single:.4g}"]
        rows.append([*row, verdict])
    return _rows(head, rows)


def _decay(found: Sequence[Chain]) -> str:
    head = (
        "q",
        "samples",
        "fit",
        "factor a round",
        "bound s\u2080 / (s\u2080 + q)",
        "round it has faded in",
        "verdict",
    )
    rows = []
    for chain in found:
        if chain.real or chain.history != "replace":
            continue
        faded = "none" if chain.faded is None else chain.faded
        held = chain.below_geometric and chain.decay <= chain.first_gain
        verdict = "below the bound in every round" if held else "**not bounded**"
        q, n = f"{chain.noise:g}", chain.samples
        rows.append(
            (q, n, chain.fit.replace("_", " "), f"{chain.decay:.3f}", f"{chain.first_gain:.3f}", faded, verdict)
        )
    return _rows(head, rows)


def _kept(found: Sequence[Chain]) -> str:
    lines = []
    for chain in found:
        if chain.history == "accumulate" and chain.fit == "trained":
            gain, form = chain.gains[-1, 0], chain.population[-1, 0]
            half = chain.half_width("gains_1")[-1]
            lines.append(
                f"- q = {chain.noise:g}, r = {chain.real:g}, {chain.samples} samples: leading gain {gain:.4f} \u00b1 "
                f"{half:.4f} after {chain.params.rounds} rounds, population {form:.4f} ({gain / form - 1:+.1%})"
            )
    return "\n".join(lines)


def _autoencoder(found: Sequence[Chain]) -> list[str]:
    p = found[0].params
    return [
        "## Linear denoising autoencoder",
        f"{p.dim} dimensions, of which the data vary in {len(p.spectrum)} with variances "
        f"{', '.join(f'{s:g}' for s in p.spectrum)}; {p.rounds} rounds after round 0. Trained by gradient descent "
        f"({p.fit.steps} steps of {p.fit.batch} rows), not solved, where nothing else is said.",
        "![Operator norm by round](figures/dae_rounds.png)",
        "### Does it follow the closed forms?",
        f"Every mean gain, as long as it is above {FADED:g} and the finite-sample theory holds, against the population "
        "recursion and against finite-sample theory (an expansion in 1 / n): largest distance over rounds in standard "
        "errors of the mean, which theory predicts. *inside*: share of rounds within 1.96 of them of the population. "
        "*spread*: median of measured over predicted standard deviation.",
        *(_agreement(found, size.n) for size in sorted(p.samples, key=lambda size: -size.n)),
        "![Gains with few samples](figures/dae_samples.png)",
        "### Without real data: decay at least geometric",
        f"Mean factor a round of the operator norm until it falls below {FADED:g}; the verdict is on every round: none "
        "above (s\u2080 / q) (s\u2080 / (s\u2080 + q))^j. The decay accelerates.",
        _decay(found),
        "Where the data of all rounds are kept instead (the real data of round 0 among them), the gain falls, but not "
        "geometrically. What few samples change is not modelled here: there the gain falls less than the population's.",
        _kept(found),
        "### With real data: a floor",
        "The gain along the leading eigenvector, which the operator norm is never below. The bound "
        "r s\u2080 / (r s\u2080 + q) is the population's: with n samples the real rows of a round, r n of them, have "
        "their own variance, and a repetition may fall below.",
        _bounds(found),
        "### What else is lost",
        "![Generation error, subspace angle, singular values](figures/dae_errors.png)",
    ]


def _phases(lines: pd.DataFrame, params: TheoryPhaseParams) -> list[str]:
    z = phase.deviations(lines, params)
    known = z[np.isfinite(z)]
    furthest = f"{np.abs(known).max():.1f}" if known.size else "no"
    return [
        "## Phase diagrams",
        f"By least squares in {params.dim} dimensions, {params.seeds} repetitions. Over real share and noise, measured "
        f"and closed form differ by at most {furthest} standard errors in the {len(known)} of {z.size} "
        "points in which there is a gain left and finite-sample theory holds to the end.",
        "![Gain over real share and noise](figures/phase_noise.png)",
        "![Gain over real share and samples](figures/phase_samples.png)",
        "A share below half a row of the round is no real row at all.",
    ]


def _without_self_training(flows: Flows, law: str, dim: int) -> str:
    """How far the first round moves the variance, with and without samples of a model."""
    before = flows.value(law, dim, "base", 0, "variance_ratio")
    after = [f"{flows.value(law, dim, name, 1, 'variance_ratio')} with {name}" for name in flows.methods]
    return (
        f"{law[0].upper()}{law[1:]}, {dim} dimensions: round 1 takes the variance from {before} to {', '.join(after)}. "
        f"Methods that use no sample of a model ({', '.join(flows.controls)}) change it without self-training."
    )


def _flows(flows: Flows) -> list[str]:
    p = flows.params
    rounds = sorted({0, 1, p.rounds // 2, p.rounds})
    parts = [
        "## Rectified flows to Gaussians and mixtures",
        f"{len(p.seeds)} seeds, `mean \u00b1 half width` of the 95 % t interval; {p.points} real points, base model of "
        f"{p.base.steps} steps, rounds of {p.round.steps} steps of {p.round.batch} pairs; {p.n_samples} samples. "
        "The floor is what samples of the law itself score.",
    ]
    gaps = flows.missing()
    if gaps:
        parts += ["Missing values:", "\n".join(f"- {gap}" for gap in gaps)]
    for metric, name in NAMES.items():
        parts.append(f"### {name[0].upper()}{name[1:]}")
        if any(has(flows, target, metric) for target in p.targets):
            parts.append(f"![{name} by round](figures/flow_{metric}.png)")
        for nfe in sorted(p.nfe, reverse=True) if metric in DISTANCES else [flows.nfe]:
            parts += [f"NFE {nfe}:", table(flows, metric, nfe, rounds)]
        if metric == "variance_ratio" and flows.controls:
            parts += [_without_self_training(flows, name, max(p.dims)) for name in p.targets]
    if 2 in p.dims:
        parts.append("### Trajectories in two dimensions")
        parts += [f"![Trajectories, {target}](figures/trajectories_{target}.png)" for target in p.targets]
    return parts


def render(found: Sequence[Chain], phase_lines: pd.DataFrame, phases: TheoryPhaseParams, flows: Flows) -> str:
    """The page.

    Args:
        found: Rounds of the linear autoencoder.
        phase_lines: Lines of `theory_phase`.
        phases: What it was run with.
        flows: Scores of the flows.

    Returns:
        Markdown, with figures in `figures/`.
    """
    parts = [
        "# Theory: closed forms and measurements",
        "What is derived, under which assumptions, and where it stops describing Reflow: docs/theory.md. The tables "
        "behind this page: `dae.csv`, `phase.csv` and `flows.csv` beside it.",
        *_autoencoder(found),
        *_phases(phase_lines, phases),
        *_flows(flows),
    ]
    return "\n\n".join(parts) + "\n"
