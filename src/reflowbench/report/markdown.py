"""The report as Markdown, which GitHub renders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reflowbench.core.config import EvaluateParams, MethodsParams, PairsParams, RoundParams
from reflowbench.results.statistics import Interval
from reflowbench.results.summary import BASELINE, Results

FD = "frechet_distance"
VARIANCE = "variance_ratio"


@dataclass(frozen=True)
class Settings:
    """Parameters that the report states as the conditions of its numbers."""

    round: RoundParams
    pairs: PairsParams
    methods: MethodsParams
    evaluate: EvaluateParams


def render(results: Results, settings: Settings) -> str:
    """Write the report.

    Args:
        results: The table.
        settings: What the numbers were made with.

    Returns:
        Markdown; figures are referred to as figures/*.png beside it.
    """
    few, many, last = results.nfes[0], results.nfes[-1], results.rounds[-1]
    features, n = results.conditions(FD)
    accuracy = results.per_seed(results.methods[0], 0, "classifier_accuracy")[0]
    sections = [
        f"# Model collapse in Reflow: profile `{results.table['profile'].iloc[0]}`",
        _verdicts(results),
        "![Frechet distance by round](figures/fd_by_round.png)",
        _conditions(results, settings, features, n, accuracy),
        "## Settings of the methods",
        _settings(results, settings),
        f"## Frechet distance by round ({results.solver}, NFE {many})",
        _round_table(results, lambda m, k: results.over_seeds(m, k, FD, many)),
        f"Real against real: {results.floor(FD):.3g} ({n} real images drawn with replacement, against all).",
        f"## Frechet distance by round in few steps ({results.solver}, NFE {few})",
        _round_table(results, lambda m, k: results.over_seeds(m, k, FD, few)),
        f"## Frechet distance by NFE (base, and round {last})",
        _nfe_table(results),
        f"dopri5 chooses its own steps (tolerance {settings.evaluate.adaptive_tolerance:g}); mean NFE in brackets.",
        "![Frechet distance by NFE](figures/fd_by_nfe.png)",
        f"## Sample variance relative to real ({results.solver}, NFE {many})",
        _round_table(results, lambda m, k: results.over_seeds(m, k, VARIANCE, many)),
        "![Sample variance by round](figures/variance.png)",
        f"## Kernel distance by round ({results.solver}, NFE {many})",
        _round_table(results, lambda m, k: results.over_seeds(m, k, "kernel_distance", many)),
        f"Real against real (random halves): {results.floor('kernel_distance'):.2g}. The unbiased squared MMD of KID's "
        "cubic kernel, on features scaled to unit mean square of the real ones.",
        f"## Straightness by round (0: straight; {results.solver}, NFE {many})",
        _round_table(results, lambda m, k: results.over_seeds(m, k, "straightness", many)),
        "## Cost of a round",
        _cost_table(results),
        "## Samples",
        "![Samples from the same noise](figures/samples.png)",
    ]
    return "\n\n".join(sections) + "\n"


def _conditions(results: Results, settings: Settings, features: str, n: int, accuracy: float) -> str:
    seeds = len(results.seeds)
    return (
        f"Conditions: {seeds} seed{'s' if seeds > 1 else ''}; `mean ± half width` of the 95 % Student-t interval "
        f"over seeds; EMA weights; {n} samples from the same noise for all models of a seed, rounded to grey levels; "
        f"Frechet distance (FD, not FID) in the features of a classifier of the data set (accuracy on held-out images "
        f"{accuracy:.1%}) against all real images. Every method gets the same updates in a round "
        f"({settings.round.steps} steps of {settings.round.batch} pairs, learning rate {settings.round.lr:g} "
        f"{settings.round.schedule}, loss {settings.round.loss}). All numbers: [results.csv](results.csv)."
    )


def _settings(results: Results, settings: Settings) -> str:
    pairs = settings.pairs
    made = f"{pairs.solver} with {pairs.steps} steps"
    lines = {
        "reflow": f"{pairs.n} synthetic pairs a round, by {made}",
        "rca": f"the same, and inverted pairs of all real images by {made}",
        "ocar": "pairs made online",
    }
    rows = []
    for method in results.methods:
        values = getattr(settings.methods, method).model_dump()
        rows.append(f"- **{method}**: {lines[method]}" + "".join(f"; {key} {value}" for key, value in values.items()))
    return "\n".join(rows)


def _verdicts(results: Results) -> str:
    """What happened, in sentences that follow from the intervals alone."""
    few, many, last = results.nfes[0], results.nfes[-1], results.rounds[-1]
    lines = [
        f"Least-squares slopes over rounds 0 to {last}, and values, by {results.solver} at NFE {many} unless said:\n"
    ]
    for method in results.methods:
        growth, variance = results.growth(method, FD, many), results.growth(method, VARIANCE, many)
        one_base, one_last = (results.over_seeds(method, k, FD, few) for k in (0, last))
        grows = {1: "grows", -1: "falls", 0: "shows no certain trend"}[growth.sign]
        shrinks = {1: "grows", -1: "shrinks", 0: "shows no certain trend"}[variance.sign]
        line = (
            f"- **{method}**: FD {grows} ({growth} a round), sample variance relative to real {shrinks} "
            f"({variance} a round); FD at NFE {few} goes from {one_base} to {one_last}."
        )
        if method != BASELINE and BASELINE in results.methods:
            line += " " + _comparison(results.against(method, BASELINE, FD, many), last)
        lines.append(line)
    return "\n".join(lines)


def _comparison(difference: Interval, last: int) -> str:
    verdict = {
        -1: f"It ends with lower FD than {BASELINE}",
        1: f"It does **not** help here: it ends with higher FD than {BASELINE}",
        0: f"It does **not** certainly differ from {BASELINE} in the end",
    }[difference.sign]
    return f"{verdict} (paired difference after round {last}: {difference})."


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _round_table(results: Results, cell: Callable[[str, int], Interval]) -> str:
    header = ["method", *(f"k = {k}" for k in results.rounds)]
    return _table(header, [[m, *(str(cell(m, k)) for k in results.rounds)] for m in results.methods])


def _nfe_table(results: Results) -> str:
    last = results.rounds[-1]
    header = ["model", *(f"NFE {nfe}" for nfe in results.nfes), "dopri5"]
    models = [("base", results.methods[0], 0)] + [(f"{m}, k = {last}", m, last) for m in results.methods]
    rows = []
    for label, method, k in models:
        fixed = [str(results.over_seeds(method, k, FD, nfe)) for nfe in results.nfes]
        adaptive = f"{results.over_seeds(method, k, FD, -1)} ({results.adaptive_nfe(method, k):.0f})"
        rows.append([label, *fixed, adaptive])
    return _table(header, rows)


def _cost_table(results: Results) -> str:
    header = [
        "method",
        "network evaluations for pairs, per pair and update",
        "training passes, per pair and update",
    ]
    return _table(header, [[m, f"{results.evaluations_per_update(m):.3g}", "1"] for m in results.methods])
