"""The report of the ablations: every chain in one table."""

from __future__ import annotations

from reflowbench.report import headline
from reflowbench.report.markdown import ALL_NUMBERS, VARIANCE, Settings, conditions, settings_list
from reflowbench.report.tables import FD, cost_columns, plain, round_table, table
from reflowbench.results.access import Results
from reflowbench.results.paired import CONTINUED, TRANSPORT

REFERENCES = (CONTINUED, "keep_training", TRANSPORT, "ot_dataset_chunk")
"""Beside Reflow: continued training of the base and the default `ot`, by their names in the grid and the ablations."""


def render(results: Results, settings: Settings) -> str:
    """Write the report of the ablations.

    Args:
        results: The table; its methods are those of the ablations.
        settings: What the numbers were made with.

    Returns:
        Markdown; the figure is referred to as figures/overview.png beside it.
    """
    few, many = results.nfes[0], results.nfes[-1]
    sections = [
        f"# Ablations: profile `{results.table['profile'].iloc[0]}`",
        "![Frechet distance of every chain after the last round](figures/overview.png)",
        f"{conditions(results, settings)} {ALL_NUMBERS} Chains differ from this as their settings say.",
        f"## After round {results.last}",
        _overview(results, settings),
        "`/ base`: divided by the value of the chain's own base model, seed by seed. Memorization as in the pipeline's "
        f"report; held-out images lie at {plain(results.floor('nearest_training_distance'))}. The last two columns are "
        "the cost: network evaluations for pairs per update and pair of the batch.",
        *headline.sections(results),
        *_differences(results),
        "## The noise of inverted real images, on the last model",
        _noise(results, settings),
        "For N(0, I): norm |z|^2 / dim 1, Kolmogorov-Smirnov distances 0.",
        f"## Frechet distance by round ({results.solver}, NFE {many})",
        round_table(results, lambda m, k: results.over_seeds(m, k, FD, many)),
        f"Real against real: {plain(results.floor(FD))}.",
        f"## Frechet distance by round in few steps ({results.solver}, NFE {few})",
        round_table(results, lambda m, k: results.over_seeds(m, k, FD, few)),
        "## Settings of the chains",
        settings_list(results, settings),
    ]
    return "\n\n".join(sections) + "\n"


def _differences(results: Results) -> list[str]:
    """Paired differences in FD after the last round to REFERENCES, in many steps and in few."""
    columns = [(n, nfe) for n in REFERENCES if n in results.methods for nfe in (results.nfes[-1], results.nfes[0])]
    rows = []
    for method in results.methods:
        cells = ["" if method == name else str(results.against(method, name, FD, nfe)) for name, nfe in columns]
        rows.append([method, *cells])
    heading = f"## Differences in FD to other references after round {results.last}, paired by seed"
    return [heading, table(["method", *(f"- {name}, NFE {nfe}" for name, nfe in columns)], rows)] if columns else []


def _overview(results: Results, settings: Settings) -> str:
    few, many, last = results.nfes[0], results.nfes[-1], results.last
    header = ["chain", *(f"FD, NFE {nfe}" for nfe in reversed(results.nfes))]
    header += [f"NFE {many} / base", f"NFE {few} / base", "variance", "nearest training", "closer to training"]
    header += ["noise to image", "image to noise"]

    def measured(chain: str, k: int) -> tuple[list[str], list[str]]:
        distances = [str(results.over_seeds(chain, k, FD, nfe)) for nfe in reversed(results.nfes)]
        others = (VARIANCE, "nearest_training_distance", "closer_to_training")
        return distances, [str(results.over_seeds(chain, k, name, many)) for name in others]

    rows = []
    for label, chain in bases(results, settings).items():
        distances, others = measured(chain, 0)
        rows.append([label, *distances, "", "", *others, "", ""])
    for chain in results.methods:
        distances, others = measured(chain, last)
        relative = [str(results.relative_to_base(chain, FD, nfe)) for nfe in (many, few)]
        rows.append([chain, *distances, *relative, *others, *cost_columns(results, chain)])
    return table(header, rows)


def bases(results: Results, settings: Settings) -> dict[str, str]:
    """A chain that started from each kind of base model, by a label for that base."""
    found = {settings.methods[chain].get("base", "independent"): chain for chain in reversed(results.methods)}
    return {f"base ({base})": chain for base, chain in found.items()}


def _noise(results: Results, settings: Settings) -> str:
    last = results.last
    names = ["inverted_norm", "inverted_ks_norm", "inverted_ks_coordinates", "inverted_correlation"]
    names += ["reconstruction_error_real", "reconstruction_error_synthetic"]
    header = ["chain", "norm", "KS norm", "KS coordinates", "correlation", "error real", "error synthetic"]
    rows = [
        [label, *(str(results.over_seeds(chain, 0, name)) for name in names)]
        for label, chain in bases(results, settings).items()
    ]
    rows += [[chain, *(str(results.over_seeds(chain, last, name)) for name in names)] for chain in results.methods]
    return table(header, rows)
