"""The report as Markdown, which GitHub renders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reflowbench.core.schemes import ADAPTIVE
from reflowbench.report import headline
from reflowbench.report.collapse import (
    aspect_table,
    aspects_by_round,
    metric_table,
    missing_list,
    paired_table,
    verdicts,
)
from reflowbench.report.tables import FD, cost_columns, models, plain, round_table, table
from reflowbench.results.access import BASELINE, Results
from reflowbench.results.paired import CONTINUED, TRANSPORT
from reflowbench.results.verdicts import ASPECTS, MARGIN
from reflowbench.runtime.evaluations import distance_name
from reflowbench.runtime.params import EvaluateParams, LatentsParams, PairsParams, RoundParams

VARIANCE = "variance_ratio"
ALL_NUMBERS = "All numbers: [results.csv](results.csv)."
_NOISE_LAW = ("inverted_norm", "inverted_ks_norm", "inverted_ks_coordinates", "inverted_correlation")


@dataclass(frozen=True)
class Settings:
    """Parameters that the report states as the conditions of its numbers."""

    round: RoundParams
    pairs: PairsParams
    evaluate: EvaluateParams
    methods: Mapping[str, Mapping[str, Any]]
    latents: LatentsParams


def render(results: Results, settings: Settings, paired: pd.DataFrame) -> str:
    """Write the report.

    Args:
        results: The table.
        settings: What the numbers were made with.
        paired: Differences between methods within each seed.

    Returns:
        Markdown; figures are referred to as figures/*.png beside it.
    """
    few, many, last = results.nfes[0], results.nfes[-1], results.last
    n = results.conditions(FD)[1]
    inversion = results.conditions("inverted_norm")[1]
    sections = [
        f"# Model collapse in Reflow: profile `{results.table['profile'].iloc[0]}`",
        *headline.sections(results),
        "## Each method in words",
        verdicts(results),
        "![Frechet distance by round](figures/fd_by_round.png)",
        "The same to explore, with samples by round and a table of all results: [index.html](index.html), one file "
        "that opens from disk.",
        f"{conditions(results, settings)} {ALL_NUMBERS}",
        f"## Quality, diversity and coverage since the base model, after round {last}",
        aspect_table(results),
        "Relative change of " + ", ".join(f"{metric} ({name})" for name, metric in ASPECTS.items()) + ", with words by "
        f"the same rule: *stable* within {MARGIN:.0%}, else *grows* or *shrinks*, else *inconclusive*. Quality that "
        "grows while diversity shrinks means typical samples, not better ones.",
        f"Of every model, at NFE {many} (quality, diversity, coverage):",
        aspects_by_round(results),
        "![Quality, diversity and coverage by round](figures/diversity.png)",
        *_all_metrics(results, settings, many),
        *_all_metrics(results, settings, few),
        "The row of real images is the floor, the score of a perfect model: distances of training images drawn with "
        "replacement; neighbours of two parts of them, in the proportion of samples to training images; the rest of "
        "different training images. FD at n = ∞ extrapolates over the number of samples. docs/metrics.md says what "
        "each metric sees and what it is blind to.",
        "![Spectrum of the samples' covariance](figures/spectrum.png)",
        "## Settings of the methods",
        settings_list(results, settings),
        f"## Frechet distance by round ({results.solver}, NFE {many})",
        round_table(results, lambda m, k: results.over_seeds(m, k, FD, many)),
        f"Real against real: {plain(results.floor(FD))} ({n} training images drawn with replacement, against all).",
        f"## Frechet distance by round in few steps ({results.solver}, NFE {few})",
        round_table(results, lambda m, k: results.over_seeds(m, k, FD, few)),
        f"## Frechet distance by NFE (base, and round {last})",
        _nfe_table(results),
        f"{ADAPTIVE} chooses its own steps (tolerance {settings.evaluate.adaptive_tolerance:g}); mean NFE in brackets.",
        "![Frechet distance by NFE](figures/fd_by_nfe.png)",
        "## Floors of FD",
        table(*headline.floors(results)),
        *_references(results),
        "## Paired differences in FD",
        f"At full steps ({results.solver}, NFE {many}):",
        paired_table(paired, many),
        f"At NFE {few}:",
        paired_table(paired, few),
        f"Method minus reference, by seed. {_reference_methods(results)}The interval and the test over "
        f"{len(results.seeds)} seeds count training and sampling. `error` is the standard error over samples, with the "
        f"two models given. Sample i of both comes from the same noise, and {settings.evaluate.groups} groups of "
        "samples are left out of both in turn (jackknife).",
        f"## Kernel distance by round ({results.solver}, NFE {many})",
        round_table(results, lambda m, k: results.over_seeds(m, k, "kernel_distance", many)),
        f"Real against real (random parts): {plain(results.floor('kernel_distance'), 2)}. The unbiased squared MMD of "
        "KID's cubic kernel, on features scaled to unit mean square of the real ones.",
        f"## Straightness by round (0: straight; {results.solver}, NFE {many})",
        round_table(results, lambda m, k: results.over_seeds(m, k, "straightness", many)),
        f"## Inversion (base, and round {last})",
        _inversion_table(results),
        f"{inversion} real training images and as many samples are inverted and generated again, by Heun at "
        f"{settings.evaluate.inversion_steps} steps; error: root mean square difference per value of what models work "
        "on. The rest compares the "
        "real images' noise with N(0, I), on which it would be: norm |z|^2 / dim 1; Kolmogorov-Smirnov distances "
        "of |z|^2 to its chi-square law and of the coordinates to N(0, 1) 0; correlation between coordinates (root "
        f"mean square) {inversion**-0.5:.2g}.",
        f"## Memorization (base, and round {last}; {results.solver}, NFE {many})",
        _memorization_table(results),
        f"Held-out images lie at a median distance of {plain(results.floor('nearest_training_distance'))} from the "
        "nearest training image. The share compares equal numbers of training and held-out images: 0.5 for a model "
        "that treats both alike; half of 1 + held-out / training images or more for one that copies.",
        "## Cost of a round: network evaluations per update and pair of the batch",
        _cost_table(results),
        "## Samples",
        "![Samples from the same noise](figures/samples.png)",
    ]
    if absent := missing_list(results):
        sections += ["## Missing values", absent]
    return "\n\n".join(sections) + "\n"


def _references(results: Results) -> list[str]:
    """The section on other references than the training images; nothing if only these were used."""
    found = headline.references(results)
    if found is None:
        return []
    return [f"## FD to other references (round {results.last}, NFE {results.nfes[-1]})", table(*found)]


def _reference_methods(results: Results) -> str:
    """What the references of the paired differences are, of those in the grid."""
    meanings = {
        BASELINE: "plain Reflow",
        CONTINUED: "continued training of the base (control)",
        TRANSPORT: "real images paired with noise by optimal transport; it never trains on its own samples",
    }
    found = [f"`{name}` is {meaning}. " for name, meaning in meanings.items() if name in results.methods]
    return "".join(found)


def _all_metrics(results: Results, settings: Settings, nfe: int) -> list[str]:
    k, n = settings.evaluate.neighbours, results.conditions(FD)[1]
    return [
        f"## All metrics at NFE {nfe}",
        metric_table(results, nfe),
        f"{results.solver}, {n} samples; neighbours: the {k} nearest.",
    ]


def conditions(results: Results, settings: Settings) -> str:
    """What every number of a report was measured with."""
    features, n = results.conditions(FD)
    accuracy = results.per_seed(results.methods[0], 0, "classifier_accuracy")[0]
    seeds = len(results.seeds)
    clipped = "clipped to [-1, 1]" if settings.pairs.clip else "not clipped"
    return (
        f"Models work on {_space(settings.latents)}; images that they generate for pairs are {clipped}. "
        f"Conditions: {seeds} seed{'s' if seeds > 1 else ''}; `mean ± half width` of the 95 % Student-t interval "
        f"over seeds; EMA weights; {n} samples from the same noise for all models of a seed, rounded to grey levels; "
        f"Frechet distance is {distance_name(features)}, against all training images; the classifier of the data set "
        f"is right on {accuracy:.1%} of held-out images. Every method gets the same updates in a round "
        f"({settings.round.steps} steps of {settings.round.batch} pairs, learning rate {settings.round.lr:g} "
        f"{settings.round.schedule}, loss {settings.round.loss}, times {settings.round.times})."
    )


def _space(latents: LatentsParams) -> str:
    """What models work on, in words."""
    if latents.kind == "pca":
        scaled = "whitened " if latents.whiten else ""
        return f"{latents.components} {scaled}principal components of the images, decoded before they are measured"
    return "pixels" if latents.kind == "none" else "latents of an autoencoder, decoded before they are measured"


def settings_list(results: Results, settings: Settings) -> str:
    """The parameters of each method, as a list."""
    pairs = settings.pairs
    half = ", kept in half precision" if pairs.storage == "float16" else ""
    made = f"{pairs.solver} with {pairs.steps} steps{half}"
    lines = [f"Stored pairs: {pairs.n} synthetic ones a round, and the noise of every real image, by {made}.", ""]
    for method in results.methods:
        lines.append(f"- **{method}**: {parameters(settings, method) or 'no parameters'}")
    return "\n".join(lines)


def parameters(settings: Settings, method: str) -> str:
    """The parameters of an entry of `methods`, as text; its method too if the entry has another name."""
    block = settings.methods[method]
    own = {key: value for key, value in block.items() if (key, value) != ("method", method)}
    return ", ".join(f"{key} {value}" for key, value in _leaves(own))


def _leaves(block: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters of a block by dotted name."""
    for key, value in block.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _nfe_table(results: Results) -> str:
    header = ["model", *(f"NFE {nfe}" for nfe in results.nfes), ADAPTIVE]
    rows = []
    for label, method, k in models(results):
        fixed = [str(results.over_seeds(method, k, FD, nfe)) for nfe in results.nfes]
        adaptive = f"{results.over_seeds(method, k, FD, -1)} ({plain(results.adaptive_nfe(method, k))})"
        rows.append([label, *fixed, adaptive])
    return table(header, rows)


def _cost_table(results: Results) -> str:
    header = ["method", "updates", "training", "noise to image", "image to noise"]
    rows = []
    for method in results.methods:
        updates = results.per_seed(method, results.last, "updates")[0]
        rows.append([method, f"{updates:g}", "1", *cost_columns(results, method)])
    return table(header, rows)


def _inversion_table(results: Results) -> str:
    names = ("reconstruction_error_real", "reconstruction_error_synthetic", *_NOISE_LAW)
    header = ["model", "error real", "error synthetic", "norm", "KS norm", "KS coordinates", "correlation"]
    rows = [[label, *(str(results.over_seeds(m, k, name)) for name in names)] for label, m, k in models(results)]
    return table(header, rows)


def _memorization_table(results: Results) -> str:
    header = ["model", "median distance to the nearest training image", "share closer to training than to held-out"]
    nfe, names = results.nfes[-1], ("nearest_training_distance", "closer_to_training")
    rows = [[label, *(str(results.over_seeds(m, k, name, nfe)) for name in names)] for label, m, k in models(results)]
    return table(header, rows)
