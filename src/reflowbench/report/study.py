"""The report of a study: every chain in one table."""

from __future__ import annotations

from reflowbench.report.markdown import FD, VARIANCE, Settings, conditions, settings_list
from reflowbench.report.tables import cost_columns, round_table, table
from reflowbench.results.summary import BASELINE, Results


def render(results: Results, settings: Settings) -> str:
    """Write the report of a study.

    Args:
        results: The table; its methods are the study's chains.
        settings: What the numbers were made with.

    Returns:
        Markdown; the figure is referred to as figures/overview.png beside it.
    """
    few, many = results.nfes[0], results.nfes[-1]
    sections = [
        f"# Study: profile `{results.table['profile'].iloc[0]}`",
        "![Frechet distance of every chain after the last round](figures/overview.png)",
        conditions(results, settings),
        f"## After round {results.rounds[-1]}",
        _overview(results, settings),
        f"`/ base`: divided by the value of the chain's own base model, seed by seed. `- {BASELINE}`: paired "
        "difference. Cost: network evaluations for pairs per update and pair of the batch.",
        "## The noise of inverted real images, on the last model",
        _noise(results, settings),
        "For N(0, I): norm |z|^2 / dim 1, Kolmogorov-Smirnov distances 0.",
        f"## Frechet distance by round ({results.solver}, NFE {many})",
        round_table(results, lambda m, k: results.over_seeds(m, k, FD, many)),
        f"Real against real: {results.floor(FD):.3g}.",
        f"## Frechet distance by round in few steps ({results.solver}, NFE {few})",
        round_table(results, lambda m, k: results.over_seeds(m, k, FD, few)),
        "## Settings of the chains",
        settings_list(results, settings),
    ]
    return "\n\n".join(sections) + "\n"


def _overview(results: Results, settings: Settings) -> str:
    few, many, last = results.nfes[0], results.nfes[-1], results.rounds[-1]
    header = ["chain", f"FD, NFE {many}", "/ base", f"- {BASELINE}", f"FD, NFE {few}", "/ base", "variance"]
    header += ["closer to training", "noise to image", "image to noise"]
    rows = []
    for label, chain in _bases(results, settings).items():
        quality = (results.over_seeds(chain, 0, FD, nfe) for nfe in (many, few))
        variance, copies = (results.over_seeds(chain, 0, name, many) for name in (VARIANCE, "closer_to_training"))
        fd, one_step = map(str, quality)
        rows.append([label, fd, "", "", one_step, "", str(variance), str(copies), "", ""])
    for chain in results.methods:
        few_steps = results.over_seeds(chain, last, FD, few)
        cells = [
            results.over_seeds(chain, last, FD, many),
            results.relative_to_base(chain, FD, many),
            results.against(chain, BASELINE, FD, many) if BASELINE in results.methods and chain != BASELINE else "",
            few_steps,
            results.relative_to_base(chain, FD, few),
            results.over_seeds(chain, last, VARIANCE, many),
            results.over_seeds(chain, last, "closer_to_training", many),
        ]
        rows.append([chain, *map(str, cells), *cost_columns(results, chain)])
    return table(header, rows)


def _bases(results: Results, settings: Settings) -> dict[str, str]:
    """A chain that started from each kind of base model, by a label for that base."""
    return {f"base ({settings.methods[chain].get('base', 'independent')})": chain for chain in reversed(results.methods)}


def _noise(results: Results, settings: Settings) -> str:
    last = results.rounds[-1]
    names = ["inverted_norm", "inverted_ks_norm", "inverted_ks_coordinates", "inverted_correlation"]
    names += ["reconstruction_error_real", "reconstruction_error_synthetic"]
    header = ["chain", "norm", "KS norm", "KS coordinates", "correlation", "error real", "error synthetic"]
    rows = [
        [label, *(str(results.over_seeds(chain, 0, name)) for name in names)]
        for label, chain in _bases(results, settings).items()
    ]
    rows += [[chain, *(str(results.over_seeds(chain, last, name)) for name in names)] for chain in results.methods]
    return table(header, rows)
