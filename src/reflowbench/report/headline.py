"""The tables that answer the two questions: collapse at full steps, and quality in one step."""

from __future__ import annotations

import math

from reflowbench.report.collapse import factor, in_percent, rule, word_of
from reflowbench.report.tables import FD, Rows, models, plain, table
from reflowbench.results.access import BASELINE, Results

HELDOUT, RECONSTRUCTIONS = f"{FD}_heldout", f"{FD}_reconstructions"
FLOORS = {
    f"{FD}_floor": "memoriser: training images drawn with replacement, against all of them",
    f"{FD}_generalizer_floor": "generaliser: held-out images against training images, with the bias of the same n",
    f"{FD}_decoder_floor": "decoder: reconstructed training images against the real ones",
}
"""What each floor of the Frechet distance compares, by metric."""
REFERENCES = {FD: "training images", HELDOUT: "held-out images", RECONSTRUCTIONS: "reconstructed training images"}
"""What samples are compared with, by metric."""
NOT_DEFINED = "not defined"


def full_steps(results: Results) -> Rows:
    """Frechet distance at the highest NFE over the rounds: its growth, and what is better or worse than Reflow."""
    nfe, compared = results.nfes[-1], _compared(results)
    header = ["method", *_distances(results)]
    header += [f"growth a round since {f'round {start}' if start else 'the base'}" for start in results.starts]
    header += ["verdict", *(["share prevented"] if compared else []), *_against(results)]
    rows = []
    for method in results.methods:
        row = [method, *_measured(results, method, nfe)]
        row += [factor(results.growth(method, FD, nfe, start)) for start in results.starts]
        row += [word_of(results, method), *([share(results, method)] if compared else [])]
        row += _differences(results, method, nfe)
        rows.append(row)
    return header, rows


def one_step(results: Results) -> Rows:
    """Frechet distance at the lowest NFE: the base, the first and the last round, and the differences to Reflow."""
    nfe = results.nfes[0]
    rows = [[m, *_measured(results, m, nfe), *_differences(results, m, nfe)] for m in results.methods]
    return ["method", *_distances(results), *_against(results)], rows


def sections(results: Results) -> list[str]:
    """Both tables as parts of a Markdown page, with the rule behind the words."""
    return [
        "## Full steps over the rounds (collapse)",
        table(*full_steps(results)),
        rule(results),
        *filter(None, [notes(results)]),
        f"## {step_title(results)}",
        table(*one_step(results)),
        f"{results.solver}, NFE {results.nfes[0]}.",
    ]


def _distances(results: Results) -> list[str]:
    return ["FD, base", *(f"FD, round {k}" for k in results.ends)]


def _measured(results: Results, method: str, nfe: int) -> list[str]:
    return [str(results.over_seeds(method, k, FD, nfe)) for k in (0, *results.ends)]


def _against(results: Results) -> list[str]:
    return [f"- {BASELINE}, round {k}" for k in results.ends if _compared(results)]


def _compared(results: Results) -> bool:
    """Whether there are methods to compare with Reflow."""
    return BASELINE in results.methods and len(results.methods) > 1


def _differences(results: Results, method: str, nfe: int) -> list[str]:
    if not _compared(results):
        return []
    return ["" if method == BASELINE else str(results.against(method, BASELINE, FD, nfe, k)) for k in results.ends]


def share(results: Results, method: str) -> str:
    """The share of Reflow's growth that a method prevents; NOT_DEFINED where Reflow's distance does not grow."""
    if method == BASELINE:
        return ""
    nfe = results.nfes[-1]
    found = results.share_prevented(method, FD, nfe)
    needed = ((BASELINE, results.last), (method, results.last), (BASELINE, 0))
    if any(math.isnan(results.over_seeds(name, k, FD, nfe).mean) for name, k in needed):
        return "missing"
    return NOT_DEFINED if math.isnan(found.mean) else in_percent(found)


def notes(results: Results) -> str:
    """How to read the columns of `full_steps` that are not plain distances."""
    if not _compared(results):
        return ""
    undefined = NOT_DEFINED in {share(results, method) for method in results.methods}
    without = f" It is {NOT_DEFINED} where the growth of {BASELINE} is not established, or the base is another."
    return (
        f"`- {BASELINE}`: FD of the method minus that of {BASELINE}, paired by seed. Share prevented: "
        f"(FD_{BASELINE} - FD_method) / (FD_{BASELINE} - FD_base) after round {results.last}, paired by seed."
        f"{without * undefined}"
    )


def step_title(results: Results) -> str:
    """Heading of `one_step`."""
    few = results.nfes[0]
    return f"{'One step' if few == 1 else f'NFE {few}'} (what Reflow is for)"


def floors(results: Results) -> Rows:
    """Frechet distances that need no model, as far as they were measured."""
    rows = [[what, plain(results.mean(metric))] for metric, what in FLOORS.items() if results.measured(metric)]
    return ["floor", "FD"], rows


def references(results: Results) -> Rows | None:
    """Frechet distance of each last model to training, held-out and reconstructed images, at the highest NFE.

    Args:
        results: The table.

    Returns:
        Header and rows; None if the table has the distance to training images only.
    """
    nfe, metrics = results.nfes[-1], [metric for metric in REFERENCES if results.measured(metric)]
    if metrics == [FD]:
        return None
    rows = [["memoriser (floor)", *(plain(results.floor(metric)) for metric in metrics)]]
    rows += [[label, *(str(results.over_seeds(m, k, metric, nfe)) for metric in metrics)]
             for label, m, k in models(results)]  # fmt: skip
    return ["model", *(REFERENCES[metric] for metric in metrics)], rows
