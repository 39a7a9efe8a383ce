"""Figures with their words and numbers, and the controls above them."""

from __future__ import annotations

from collections.abc import Sequence

from reflowbench.report import headline
from reflowbench.report.page import charts, words
from reflowbench.report.page.markup import Html, element, grid, join, options
from reflowbench.report.page.numbers import Numbers
from reflowbench.report.page.samples import Sheets
from reflowbench.report.tables import FD, plain

PANELS = {
    "precision": ("Precision", "share of samples that look real (quality)"),
    "recall": ("Recall", "share of real images that samples reach (coverage)"),
    "coverage": ("Coverage", "share of real images with a sample near them"),
    "variance_ratio": ("Variance", "of pixels, over that of real images (diversity)"),
}
"""Title and meaning of the metrics that say what FD hides."""


def figure(name: str, title: str, said: str, numbers: Html, note: str = "", small: bool = False) -> Html:
    """A chart with its words, and with its numbers as a table.

    Args:
        name: Key of the chart.
        title: What it shows.
        said: What it shows, in words; also what a screen reader says in place of the picture.
        numbers: The table.
        note: How to read it.
        small: Whether it shares a row with others.

    Returns:
        The markup.
    """
    return element(
        "figure",
        element("h3", title),
        element("div", class_="chart", data_chart=name, role="img", aria_label=f"Chart: {title}. {said}"),
        element("figcaption", said, " ", element("span", note, class_="note")),
        element("details", element("summary", f"Numbers: {title}"), numbers),
        id=name,
        class_="small" if small else None,
    )


def round_rows(numbers: Numbers, title: str, metric: str, nfes: Sequence[int]) -> Html:
    """A metric by round as a table; of several NFE, the page shows the rows of the one that is chosen."""
    results = numbers.results
    models = [(nfe, method) for nfe in nfes for method in results.methods]
    rows = [[m, str(nfe), *(str(numbers.at(m, k, metric, nfe)) for k in results.rounds)] for nfe, m in models]
    chosen = [{"data_nfe": nfe, "hidden": nfe != nfes[-1]} for nfe, _ in models] if len(nfes) > 1 else []
    return grid(f"{title} by round", ["method", "NFE", *(f"k = {k}" for k in results.rounds)], rows, chosen)


def toolbar(numbers: Numbers) -> Html:
    """What the reader chooses for all charts: methods, and the NFE."""
    results = numbers.results
    buttons = [
        element("button", words.marker(i), method, type="button", aria_pressed="true", data_method=method)
        for i, method in enumerate(results.methods)
    ]
    nfes = {str(nfe): f"NFE {nfe}" for nfe in results.nfes}
    select = element("select", options(nfes, str(results.nfes[-1])), id="nfe")
    return element(
        "div",
        element("div", *buttons, role="group", aria_label="Methods that the charts show", class_="methods"),
        element("label", "Solver steps ", select),
        *(_key(name, dashes) for name, dashes in (("base model", "6 4"), ("real images", "1.5 3.5"))),
        class_="toolbar",
        role="region",
        aria_label="Choices for all charts",
    )


def _key(name: str, dashes: str) -> Html:
    """What a horizontal line of the charts stands for."""
    line = element("path", d="M0,4H32", stroke_dasharray=dashes)
    return element("span", element("svg", line, viewBox="0 0 32 8", aria_hidden="true"), name, class_="key")


def frechet(numbers: Numbers) -> Html:
    """Frechet distance by round, its floors, and distances to other references."""
    results = numbers.results
    said = words.by_round(numbers, FD, results.nfes[-1], "FD")
    note = (
        "Lower is better; log axis. Means and 95 % intervals over seeds, drawn slightly apart. The floor is the "
        "score of real images against real images, so a perfect model does not score 0."
    )
    chart = figure("fd_by_round", "Frechet distance by round", said, round_rows(numbers, "FD", FD, results.nfes), note)
    tables = [grid("Floors of FD", *headline.floors(results))]
    if found := headline.references(results):
        title = f"FD to other references, after round {results.last}, NFE {results.nfes[-1]}"
        tables.append(grid(title, *found))
    return join([chart, *tables])


def steps(numbers: Numbers) -> Html:
    """One step against many, and cost against quality."""
    results = numbers.results
    last = results.last
    by_nfe = [
        [name if k == 0 else f"{name}, k = {k}", *(str(numbers.at(method, k, FD, n)) for n in results.nfes)]
        for name, method, k in numbers.last_models
    ]
    nfe_table = grid(f"FD by NFE, base and round {last}", ["model", *(f"NFE {n}" for n in results.nfes)], by_nfe)
    by_cost = [
        [
            f"{method}, k = {k}",
            plain(numbers.evaluations(method, k) / 1000, 4),
            *(str(numbers.at(method, k, FD, n)) for n in results.nfes),
        ]
        for method in results.methods
        for k in results.rounds
    ]
    header = ["model", "thousand evaluations", *(f"FD, NFE {n}" for n in results.nfes)]
    return join([
        figure("fd_by_nfe", f"One step against many, after round {last}", words.by_nfe(numbers), nfe_table,
               "Lower left is better; log axes. The broad line follows the best of all models up to each NFE."),
        figure("fd_by_cost", "Cost against quality", words.by_cost(numbers), grid("FD by cost", header, by_cost),
               "Lower left is better. Network evaluations of training and of making pairs, noise to image and back, "
               "added up over the rounds; a point's number is its round. A training evaluation also has a backward "
               "pass, which is not counted."),
    ])  # fmt: skip


def lost(numbers: Numbers) -> Html:
    """What FD hides: quality, diversity and coverage by round."""
    results = numbers.results
    panels = [
        figure(metric, title, words.by_round(numbers, metric, results.nfes[-1], title.lower()),
               round_rows(numbers, title, metric, results.nfes), f"{meaning[0].upper()}{meaning[1:]}.", small=True)
        for metric, (title, meaning) in PANELS.items()
    ]  # fmt: skip
    return element("div", *panels, class_="panels")


def spectrum(numbers: Numbers, spec: charts.Spec) -> Html:
    """The directions that the last models have lost."""
    rows = spec["layer"][-1]["data"]["values"]
    models = [name for name, _, _ in numbers.last_models]
    by_cell = {(row["method"], row["x"]): row["text"] for row in rows}
    indices = sorted({row["x"] for row in rows})
    table = [[str(i), *(by_cell.get((name, i), "missing") for name in models)] for i in indices]
    ends = [f"{name} {by_cell.get((name, indices[0]), 'missing')}" for name in models] if indices else ["missing"]
    last = numbers.results.last
    said = f"Along the first direction, samples have this share of the variance of real images: {', '.join(ends)}."
    note = (
        "Eigenvalues of the covariance of the samples' pixels, largest first, over those of real images; models after "
        f"round {last} at NFE {numbers.results.nfes[-1]}, mean over seeds; log axis. Below the dotted line "
        "variance is lost."
    )
    shown = grid("Variance over that of real images", ["eigenvalue", *models], table)
    return figure("spectrum", "Which directions lose variance", said, shown, note)


def straightness(numbers: Numbers) -> Html:
    """How straight the paths become, which is what self-training is for."""
    nfe = numbers.results.nfes[-1]
    said = words.by_round(numbers, "straightness", nfe, "straightness")
    shown = round_rows(numbers, "Straightness", "straightness", [nfe])
    note = "0 is a straight path, for which a single step is exact. Measured at the highest NFE only; log axis."
    return figure("straightness", "Straightness by round", said, shown, note)


def samples(numbers: Numbers, shown: Sheets) -> Html:
    """A row of samples per method, with a slider over the rounds."""
    results = numbers.results
    last, many = results.last, f"{results.solver}_{results.nfes[-1]}"
    steps = len(results.rounds) - 1  # the slider counts the evaluated rounds, of which some may be skipped
    slider = element("input", type="range", id="round", min=0, max=steps, step=1, value=steps)
    controls = element(
        "div",
        element("label", "Round k = ", element("output", str(last), id="round-shown", for_="round"), slider),
        element("label", "Solver ", element("select", options(shown.solvers, many), id="sampler")),
        class_="toolbar still",
    )
    rows = [
        element(
            "figure",
            element("h3", words.marker(i), method),
            _sheet(shown, method, last, many),
            element("figcaption", f"FD {numbers.at(method, last, FD, results.nfes[-1])}"),
            class_="sheet",
            data_method=method,
        )
        for i, method in enumerate(results.methods)
    ]
    return join([controls, element("div", *rows, class_="sheets grey" if shown.grey else "sheets")])


def _sheet(shown: Sheets, method: str, k: int, solver: str) -> Html:
    label = f"Samples of {method} after round {k}, {shown.solvers.get(solver, solver)}"
    found = shown.images.get(f"{method}/{k}/{solver}")
    return element("img", src=found, alt=label if found else f"{label}: missing", width=175, height=175)
