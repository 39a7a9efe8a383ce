"""What the report of the theory makes of tables whose content is known."""

import numpy as np
import pandas as pd
import pytest

from reflowbench.theory.dae.finite_sample import finite_sample
from reflowbench.theory.dae.recursion import population_gains
from reflowbench.theory.params import FitParams, SampleSize, TheoryDaeParams, TheoryPhaseParams
from reflowbench.theory.report import page, phase
from reflowbench.theory.report.figures import write_figures
from reflowbench.theory.report.flows import Flows
from reflowbench.theory.report.rounds import agreements, chains, simultaneous
from tests.theory.made import flow_rows, gaussian_params

ROUNDS, SEEDS, Q = 12, 4, 0.1
PARAMS = TheoryDaeParams(
    dim=3,
    spectrum=[1.0, 0.3],
    noise=[Q],
    real_fractions={"replace": [0.0, 0.2], "accumulate": [0.0]},
    samples=[SampleSize(n=10**6, seeds=SEEDS), SampleSize(n=200, seeds=SEEDS)],
    rounds=ROUNDS,
    fit=FitParams(steps=2, batch=1, lr=1.0),
)
PHASES = TheoryPhaseParams(
    dim=2, real_fractions=[0.0, 0.5], noise=[0.1, 1.0], samples=[20, 1000], n=1000, q=0.1, rounds=4, seeds=SEEDS
)


def table(shift=0.0):
    """Rounds that are exactly the population's, `shift` predicted standard errors away; half the norm at worst."""
    lines = []
    for size in PARAMS.samples:
        for history, shares in PARAMS.real_fractions.items():
            for real in shares:
                gains = population_gains(PARAMS.spectrum, Q, real, ROUNDS, history)
                std = finite_sample(PARAMS.spectrum, PARAMS.dim, Q, real, ROUNDS, size.n).std
                gains = gains + shift * std / SEEDS**0.5
                for fit in ("trained", "least_squares"):
                    for j in range(ROUNDS + 1):
                        line = {"noise": Q, "history": history, "real": real, "samples": size.n, "seeds": SEEDS}
                        line |= {"fit": fit, "round": j, "gains_1_min": gains[j, 0] / 2}
                        values = {"operator_norm": gains[j, 0], "subspace_angle": 0.1, "generation_error": 0.2}
                        values |= {f"gains_{i + 1}": gains[j, i] for i in range(2)}
                        values |= {f"singular_values_{i + 1}": v for i, v in enumerate((*gains[j], 0))}
                        spread = {f"{name}_std": 1e-3 for name in values}
                        spread |= {f"gains_{i + 1}_std": std[j, i] for i in range(2)}
                        lines.append(line | values | spread)
    return pd.DataFrame(lines)


def test_rounds_on_the_population_agree_with_it():
    found = list(agreements(chains(table(), PARAMS)))
    assert len(found) == 2 * 2 * 2 * 2, "sizes, shares, fits, gains; accumulated data have no finite-sample theory"
    assert max(a.population for a in found) < 1e-6 and {a.inside for a in found} == {1.0}
    assert all(a.spread == pytest.approx(1) for a in found)
    large = [a for a in found if a.chain.samples == 10**6]
    assert max(a.finite for a in large if a.chain.real) < 0.05, "the two theories meet"


def test_rounds_that_are_off_are_seen():
    found = [a for a in agreements(chains(table(shift=5.0), PARAMS)) if a.chain.samples == 10**6 and a.chain.real]
    assert all(a.population == pytest.approx(5) and a.inside == 0 for a in found)
    assert 1.96 < simultaneous(found) < 5


def test_faded_gains_are_not_compared():
    decaying = [a for a in agreements(chains(table(), PARAMS)) if not a.chain.real and a.variance == 0.3]
    faded = int((population_gains([0.3], Q, 0, ROUNDS) >= 1e-3).sum())
    assert faded < ROUNDS + 1 and all(a.rounds <= faded for a in decaying)


def test_decay_is_the_factor_of_a_geometric_sequence():
    lines = table()
    lines["operator_norm"] = 0.9 * 0.7 ** lines["round"]
    assert all(chain.decay == pytest.approx(0.7) for chain in chains(lines, PARAMS))
    lines["operator_norm"] = np.where(lines["round"] > 5, 1e-9, lines["operator_norm"])
    assert all(chain.decay == pytest.approx(0.7) for chain in chains(lines, PARAMS)), "not what has faded"


def phase_table():
    return pd.DataFrame(
        [
            {"noise": q, "samples": n, "real": r, "seeds": SEEDS, "round": PHASES.rounds, "gains_1_std": 0.01}
            | {"gains_1": population_gains([1.0], q, r, PHASES.rounds)[-1, 0]}
            for q, n in ((0.1, 1000), (1.0, 1000), (0.1, 20))
            for r in PHASES.real_fractions
        ]
    )


def test_phase_diagrams_lie_over_their_closed_form():
    lines = phase_table()
    assert phase.measured(lines, PHASES, "noise") == pytest.approx(phase.closed_form(PHASES))
    assert phase.closed_form(PHASES)[1, 0] == pytest.approx(population_gains([1.0], 1.0, 0.0, 4)[-1, 0])
    assert np.nanmax(np.abs(phase.deviations(lines, PHASES))) < 1e-9
    lines.loc[(lines["noise"] == 1.0) & (lines["real"] == 0.5), "gains_1"] += 0.1
    z = phase.deviations(lines, PHASES)
    assert np.unravel_index(np.nanargmax(np.abs(z)), z.shape) == (1, 1) and z[1, 1] > 4


def flows(**changes):
    return Flows(pd.DataFrame(flow_rows(**changes)), gaussian_params(seeds=[0, 1]))


def test_round_0_of_a_method_is_the_base_model():
    found = flows()
    for method in ("reflow", "ot"):
        assert found.value("mixture", 2, method, 0, "bures") == found.value("mixture", 2, "base", 0, "bures")
    assert found.methods == ["reflow", "ot"]
    assert found.value("mixture", 2, "reflow", 1, "bures").mean == pytest.approx(2.5)
    assert found.value("mixture", 2, "reflow", 1, "bures", nfe=1).mean == pytest.approx(102.5)


def test_missing_values_are_named_with_their_reason():
    assert flows().missing() == []
    found = flows(broken="ot")
    assert found.missing() == ["ot, gaussian in 2 dimensions, seed 1, from round 1: training diverged"]
    assert str(found.value("gaussian", 2, "ot", 1, "bures")) == "missing"


def test_the_page_shows_every_figure_and_says_what_does_not_follow(tmp_path):
    found, shown = chains(table(shift=6.0), PARAMS), flows(broken="ot")
    paths = {name: {"mixture": np.zeros((2, 5, 3, 2), dtype=np.float32)} for name in ("reflow", "ot")}
    paths["base"] = {"mixture": np.zeros((1, 5, 3, 2), dtype=np.float32), "gaussian": np.zeros((1, 5, 3, 2))}
    write_figures(tmp_path / "figures", found, phase_table(), PHASES, shown, paths)
    text = page.render(found, phase_table(), PHASES, shown)
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert all(f"](figures/{name})" in text for name in drawn) and len(drawn) == 11
    assert text.count("](figures/") == len(drawn)
    assert "training diverged" in text and "mean above, single repetitions below" in text
    assert "is outside of it for 4 of 4 gains" in text
    assert (
        "Mixture, 2 dimensions: round 1 takes the variance from 1.0 \u00b1 0.0 to 2.5 \u00b1 0.0 with reflow, "
        "2.5 \u00b1 0.0 with ot. Methods that use no sample of a model (ot) change it without self-training." in text
    )
    slower = chains(table().assign(operator_norm=1.0), PARAMS)
    assert "**not bounded**" in page.render(slower, phase_table(), PHASES, shown)
    below = chains(table().assign(gains_1=0.1), PARAMS)
    assert "**below**" in page.render(below, phase_table(), PHASES, shown)
