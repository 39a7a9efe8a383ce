"""What the generators cover: a CSV file, Markdown tables with intervals over seeds, and a figure of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from reflowbench.controls.gans.mixtures import Mixture, mixture
from reflowbench.controls.gans.modes import EXPECTED_SHARE, mode_scores
from reflowbench.controls.gans.params import GansParams
from reflowbench.results.statistics import interval
from reflowbench.runtime.artifacts import atomic, write_text

_DPI = 110
_COLOURS = {"real": "#000000", "gan": "#D55E00", "reflow": "#0072B2"}  # of Okabe and Ito's palette
_PLOTTED = 1000


def flow_label(k: int, nfe: int) -> str:
    """Name of a round of Reflow in tables and figures."""
    return f"reflow k = {k}, NFE {nfe}"


@dataclass(frozen=True)
class Row:
    """Scores of one generator; the columns of the CSV file.

    Attributes:
        mixture: Name of the mixture.
        model: `real`, `blob` (one Gaussian of the same mean and variances), a variant of the GAN, or `reflow`.
        round: Round of Reflow (0: base model); 0 for other models.
        nfe: Network evaluations for a sample; 0 for `real` and `blob`, 1 for GANs.
        seed: Seed.
        modes: Modes that there are.
        covered: See `ModeScores`, as the two that follow.
        high_quality: Share of samples in [0, 1].
        mode_kl: In nats.
    """

    mixture: str
    model: str
    round: int
    nfe: int
    seed: int
    modes: int
    covered: int
    high_quality: float
    mode_kl: float

    @property
    def label(self) -> str:
        """Name of the model in tables and figures."""
        return flow_label(self.round, self.nfe) if self.model == "reflow" else self.model


@dataclass
class Collected:
    """Scores of all generators, and the samples of the first seed for the figure."""

    rows: list[Row]
    samples: dict[tuple[str, str], tuple[Row, torch.Tensor]]

    def add(self, truth: Mixture, samples: torch.Tensor, model: str, seed: int, round_: int = 0, nfe: int = 1) -> None:
        """Score samples, shape (n, 2), and keep those of the first seed."""
        row = Row(truth.name, model, round_, nfe, seed, len(truth), *astuple(mode_scores(samples, truth)))
        self.rows.append(row)
        self.samples.setdefault((truth.name, row.label), (row, samples[:_PLOTTED]))


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV text, six decimals."""
    lines = [",".join(field.name for field in fields(Row))]
    lines += [",".join(f"{x:.6f}" if isinstance(x, float) else str(x) for x in astuple(row)) for row in rows]
    return "\n".join(lines) + "\n"


def _labels(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.label for row in rows))


def table(rows: Sequence[Row]) -> str:
    """Markdown table of one mixture's rows: a line per model, mean and 95 % t interval over seeds."""
    lines = [f"| model | modes covered of {rows[0].modes} | high-quality share | KL of modes, nats |"]
    lines.append("| --- | --: | --: | --: |")
    for label in _labels(rows):
        own = [row for row in rows if row.label == label]
        columns = ([r.covered for r in own], [r.high_quality for r in own], [r.mode_kl for r in own])
        lines.append(f"| {label} | " + " | ".join(str(interval(values)) for values in columns) + " |")
    return "\n".join(lines)


def markdown(rows: Sequence[Row], params: GansParams, figure: str) -> str:
    """The report.

    Args:
        rows: All scores.
        params: The conditions, which it states.
        figure: Path of the figure, relative to the report.

    Returns:
        The page, as Markdown.
    """
    gan, flow, n = params.gan, params.flow, params.n_samples
    parts = [
        "# Mode metrics on generators that collapse",
        f"Scored on {n} samples of each model, {len(params.seeds)} seeds, mean and 95 % t interval. A mode is covered "
        "if it is nearest to at least one high-quality sample, one within 3 standard deviations of a centre; KL is "
        "that of the histogram over modes from the uniform one. The mixture itself has a share of "
        f"{EXPECTED_SHARE:.4f}; `real` are samples of it. `blob` are samples of one Gaussian with its mean and "
        "variances: they cover modes by chance, so a number of modes means something only beside a share above theirs.",
        f"GANs: {gan.layers} hidden layers of {gan.hidden}, latent dimension {gan.latent}, {gan.steps} updates of the "
        f"discriminator with batch {gan.batch}, Adam at {gan.lr:g} falling linearly to 0. `plain` non-saturating; "
        f"`noise` instance noise from {gan.noise:g} to 0; `wgan_gp` with {gan.critic_steps} critic updates for one of "
        f"the generator, penalty {gan.penalty:g}; `minibatch` discrimination with {gan.kernels} kernels of "
        f"{gan.kernel_dim} in groups of {gan.group}; `packing` of {gan.packing}.",
        f"Reflow: base model of {flow.base.steps} steps, then rounds of {flow.round.steps} steps on {flow.pairs.n} "
        f"pairs of the last model by {flow.pairs.solver} with {flow.pairs.steps} steps; samples by {flow.solver}.",
        f"![Samples of the first seed]({figure})",
    ]
    for name in params.mixtures:
        parts += [f"## {name}", table([row for row in rows if row.mixture == name])]
    return "\n\n".join(parts) + "\n"


def write_report(collected: Collected, params: GansParams, table_file: Path, report: Path, figure: Path) -> None:
    """Write the CSV file, the report and the figure.

    Args:
        collected: Scores and samples.
        params: The conditions.
        table_file: CSV file.
        report: Markdown file.
        figure: PNG file, in the report's folder or below it.
    """
    import matplotlib

    with atomic(figure) as temporary, matplotlib.rc_context(matplotlib.rcParamsDefault):
        matplotlib.use("Agg")  # rc_context: the user's own matplotlibrc must not change the bytes
        _draw(collected, params, temporary)
    write_text(table_file, to_csv(collected.rows))
    write_text(report, markdown(collected.rows, params, figure.relative_to(report.parent).as_posix()))


def _draw(collected: Collected, params: GansParams, path: Path) -> None:
    """Rows of panels are mixtures, columns models: samples over the modes, with the number of modes covered."""
    from matplotlib import pyplot

    ends = [(k, nfe) for nfe in (max(params.flow.nfe), min(params.flow.nfe)) for k in (0, params.flow.rounds)]
    labels = ["real", *params.variants, *dict.fromkeys(flow_label(k, nfe) for k, nfe in ends)]
    size = (1.5 * len(labels), 1.75 * len(params.mixtures) + 0.3)
    figure, panels = pyplot.subplots(
        len(params.mixtures), len(labels), figsize=size, layout="constrained", squeeze=False
    )
    for line, name in zip(panels, params.mixtures, strict=True):
        truth = mixture(name)
        for axes, label in zip(line, labels, strict=True):
            _panel(axes, truth, *collected.samples[name, label])
    figure.suptitle(
        f"Samples of seed {params.seeds[0]} (+: modes), the modes they cover, and the high-quality share", fontsize=10
    )
    with path.open("wb") as file:
        figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    pyplot.close(figure)


def _panel(axes: Any, truth: Mixture, row: Row, samples: torch.Tensor) -> None:
    colour = _COLOURS.get(row.model, _COLOURS["gan"])
    x, y = samples.numpy().T
    axes.plot(*truth.centres.numpy().T, "+", color="0.7", markersize=5, markeredgewidth=0.8)
    axes.plot(x, y, ".", color=colour, markersize=1.6, alpha=0.5, markeredgewidth=0)
    axes.set(xlim=(-truth.scale, truth.scale), ylim=(-truth.scale, truth.scale), xticks=[], yticks=[], aspect="equal")
    axes.set_title(f"{row.label}\n{row.covered} of {row.modes}, {100 * row.high_quality:.0f} % good", fontsize=7)
