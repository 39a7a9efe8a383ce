"""What reports are made from, beside the evaluations."""

from reflowbench import profiles
from reflowbench.report.markdown import Settings, render
from reflowbench.results.paired import paired
from reflowbench.results.spectra import spectra
from reflowbench.runtime.config import validate
from tests.conftest import ROOT
from tests.results.cells import GRID, results_of

PARAMS = validate(profiles.resolve("digits", ROOT / "profiles"))


def settings(blocks=PARAMS.methods):
    return Settings(PARAMS.round, PARAMS.pairs, PARAMS.evaluate, blocks, PARAMS.latents)


def paired_of(folder, grid=GRID):
    return paired(results_of(folder, grid), grid, folder, {})


def spectra_of(folder, grid=GRID):
    return spectra(results_of(folder, grid), grid, folder, {})


def page_of(folder, grid=GRID):
    return render(results_of(folder, grid), settings(), paired_of(folder, grid))


def section(text, heading):
    """The part of a page below a heading, up to the next one."""
    return text.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]


def rows(text):
    """The body of a Markdown table as lists of cells, by the first cell."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in (line.strip("| ").split(" | ") for line in lines[2:])}
