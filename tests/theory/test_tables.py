"""Tables of the linear autoencoder: which settings there are, and what a line holds."""

import csv
import io

import pytest

from reflowbench.errors import ReflowbenchError
from reflowbench.theory.dae.tables import dae_jobs, phase_jobs, run, to_csv
from reflowbench.theory.params import FitParams, SampleSize, TheoryDaeParams, TheoryPhaseParams


def dae(**changes):
    values = {
        "dim": 3,
        "spectrum": [1.0, 0.4],
        "noise": [0.1, 1 / 3],
        "real_fractions": {"replace": [0.0, 0.5], "accumulate": [0.0]},
        "samples": [SampleSize(n=20, seeds=3), SampleSize(n=50, seeds=2)],
        "rounds": 40,
        "fit": FitParams(steps=4, batch=10, lr=1.0),
    }
    return TheoryDaeParams(**(values | changes))


def test_every_setting_is_there_once_the_long_ones_first():
    jobs = dae_jobs(dae(), 0.1)
    assert [(j.setting.samples, j.setting.history, j.setting.real) for j in jobs] == [
        (n, history, real)
        for n in (50, 20)
        for history, real in (("replace", 0.0), ("replace", 0.5), ("accumulate", 0.0))
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"real_fractions": {"accumulate": [0.0]}}, "theory_dae.real_fractions.replace: want at least one"),
        ({"real_fractions": {"replace": []}}, "theory_dae.real_fractions.replace: want at least one"),
        ({"samples": [SampleSize(n=20, seeds=3), SampleSize(n=20, seeds=9)]}, "theory_dae.samples: n = [20, 20]"),
    ],
)
def test_parameters_without_a_meaning_are_refused_by_name(changes, message):
    with pytest.raises(ReflowbenchError) as error:
        dae_jobs(dae(**changes), 0.1)
    assert str(error.value).startswith(message)


def test_lines_are_means_over_repetitions_with_their_conditions_as_they_are():
    [job] = [j for j in dae_jobs(dae(), 1 / 3) if j.setting.samples == 20 and j.setting.real == 0.5]
    lines = list(csv.DictReader(io.StringIO(to_csv(run(job)))))
    assert len(lines) == 2 * 41 and {line["fit"] for line in lines} == {"trained", "least_squares"}
    assert {float(line["noise"]) for line in lines} == {1 / 3}, "to the bit: they are looked up"
    for line in lines:
        assert float(line["gains_1_min"]) <= float(line["gains_1"])
        assert float(line["operator_norm"]) >= float(line["gains_1"]) - 1e-6


def test_a_collapsed_autoencoder_has_no_angle():
    """It listens to no direction; 0 would be a perfect one."""
    job = dae_jobs(dae(noise=[2.0]), 2.0)[0]
    assert job.setting.real == 0
    found = {int(line["round"]): line for line in csv.DictReader(io.StringIO(to_csv(run(job))))
             if line["fit"] == "least_squares"}  # fmt: skip
    assert float(found[0]["subspace_angle"]) > 0 and found[40]["operator_norm"] == "0"
    assert found[40]["subspace_angle"] == "" and found[40]["subspace_angle_std"] == ""


def test_phase_jobs_are_the_points_of_both_diagrams_once():
    params = TheoryPhaseParams(
        dim=2, real_fractions=[0.0, 0.5], noise=[0.1, 1.0], samples=[20, 50], n=50, q=0.1, rounds=3, seeds=2
    )
    jobs = phase_jobs(params)
    points = [(j.setting.noise, j.setting.samples, j.setting.real) for j in jobs]
    assert sorted(points) == sorted((q, n, r) for q, n in ((0.1, 50), (1.0, 50), (0.1, 20)) for r in (0.0, 0.5))
    [line] = run(jobs[0])
    assert line["round"] == 3 and line["fit"] == "least_squares"
