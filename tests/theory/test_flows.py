import argparse
import csv
import io
import math

import numpy as np
import pytest
import torch
import yaml

from reflowbench.core.randomness import noise
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.solvers import solve
from reflowbench.methods import registry
from reflowbench.networks import registry as networks
from reflowbench.runtime.artifacts import read_tensors
from reflowbench.runtime.config import read_yaml
from reflowbench.theory.gaussian import flows
from reflowbench.theory.gaussian.flows import BaseJob, Cell, ChainJob, cells, run_base, run_chain, write_results
from reflowbench.theory.gaussian.scores import names
from reflowbench.theory.gaussian.targets import target
from reflowbench.theory.params import load_theory
from stages import theory_gaussian, theory_gaussian_base
from tests.conftest import ROOT
from tests.couplings.methods import params as method_params
from tests.theory.made import OPTIM, gaussian_params


def chain(cell, params, folder, name="reflow", own=None):
    return run_chain(ChainJob(cell, params, folder, name, own or method_params(name)), registry.load(name))


def value(result, method, k, nfe, metric):
    [row] = [r for r in result.rows if (r.method, r.round, r.nfe, r.metric) == (method, k, nfe, metric)]
    return row.value


@pytest.fixture
def based(tmp_path, monkeypatch):
    """Base models of both laws in two dimensions, in a folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    params = gaussian_params()
    return {cell: run_base(BaseJob(cell, params, tmp_path)) for cell in cells(params)}


def test_cells_are_all_combinations_and_the_longest_come_first():
    found = cells(gaussian_params(dims=[2, 10], seeds=[0, 3]))
    assert len(set(found)) == len(found) == 8 and [cell.dim for cell in found] == [10] * 4 + [2] * 4
    assert len({cell.weights for cell in found}) == 8


def test_the_rows_of_a_base_model(based, tmp_path):
    for cell, result in based.items():
        expected = {("base", 0, nfe, name) for nfe in (1, 4) for name in names(cell.law)}
        expected |= {("base", 0, 0, name) for name in flows.COSTS} | {("base", 0, 4, "straightness")}
        exact = (0, 1) if cell.target == "gaussian" else (0,)
        expected |= {("exact", k, nfe, m) for _, _, nfe, m in expected if nfe for k in exact}
        expected |= {("real", 0, 0, name) for name in names(cell.law)}
        found = [(r.method, r.round, r.nfe, r.metric) for r in result.rows]
        assert set(found) == expected and len(found) == len(expected)
        assert all(r.cell == cell and math.isfinite(r.value) and not r.missing for r in result.rows)
        assert result.paths.shape == (1, 5, 5, 2)
        network, _, shape = networks.load(tmp_path / cell.weights)
        assert shape == (1, 1, 2) and value(result, "base", 0, 0, "updates") == 12
        start = noise(0, "theory samples", 0, range(5), 2)
        assert torch.equal(torch.from_numpy(result.paths[0, 0]), start)
        step = start + 0.25 * network(start, torch.zeros(1))
        assert torch.allclose(torch.from_numpy(result.paths[0, 1]), step, atol=1e-6)


def test_closed_forms_of_the_gaussian():
    """A perfect base model shrinks to the mean in one step; a perfect Reflow of it is exact in one, and straight."""
    params = gaussian_params(n_samples=2000, nfe=[1, 100], targets=["gaussian"])
    cell = Cell("gaussian", 2, 0)
    law = cell.law
    rows = {(r.nfe, r.metric): r.value for r in flows._measured(cell, params, "exact", 0, law.velocity)}
    trace = float((law.std**2).sum())
    assert rows[1, "variance_ratio"] == pytest.approx(0, abs=1e-9)
    assert rows[1, "bures"] == pytest.approx(math.sqrt(trace)) and rows[1, "mean_error"] == pytest.approx(0, abs=1e-5)
    assert rows[100, "bures"] < 0.02 and rows[100, "straightness"] > 0.01
    straight = {(r.nfe, r.metric): r.value for r in flows._measured(cell, params, "exact", 1, law.straight_velocity)}
    for metric in names(law):
        assert straight[1, metric] == pytest.approx(straight[100, metric], abs=1e-5)
    assert straight[1, "bures"] < 0.015 and straight[100, "straightness"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", registry.names())
def test_every_method_runs(name, based, tmp_path):
    params = gaussian_params(targets=["mixture"])
    result = chain(Cell("mixture", 2, 0), params, tmp_path, name)
    expected = {(name, k, nfe, m) for k in (1, 2) for nfe in (1, 4) for m in names(Cell("mixture", 2, 0).law)}
    expected |= {(name, k, 4, "straightness") for k in (1, 2)} | {(name, k, 0, m) for k in (1, 2) for m in flows.COSTS}
    found = [(r.method, r.round, r.nfe, r.metric) for r in result.rows]
    assert set(found) == expected and len(found) == len(expected)
    assert all(math.isfinite(r.value) and not r.missing for r in result.rows)
    assert result.paths.shape == (2, 5, 5, 2) and np.array_equal(result.paths[0, 0], result.paths[1, 0])
    assert not list((tmp_path / ".scratch/temporary").iterdir()), "pairs are not left behind"


def test_only_the_first_seed_in_two_dimensions_is_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = gaussian_params(seeds=[3, 4], dims=[2, 3], targets=["mixture"], rounds=1)
    results = {}
    for cell in cells(params):
        run_base(BaseJob(cell, params, tmp_path))
        results[cell] = chain(cell, params, tmp_path)
    assert {cell for cell, result in results.items() if result.paths is not None} == {Cell("mixture", 2, 3)}


def test_rounds_after_a_divergence_are_missing_with_the_reason(based, tmp_path):
    """One round of steps so long that the next one's pairs are not finite, or training itself fails: no crash."""
    params = gaussian_params(rounds=4, round=OPTIM | {"steps": 4, "lr": 1e30, "schedule": "constant"})
    result = chain(Cell("mixture", 2, 0), params, tmp_path)
    missing = {k: {r.missing for r in result.rows if r.round == k} for k in range(1, 5)}
    assert any("diverged" in text for text in missing[4]) and missing[3] == missing[4] and "" not in missing[4]
    assert all((r.value is None) == bool(r.missing) for r in result.rows)
    whole = chain(Cell("mixture", 2, 0), gaussian_params(rounds=4), tmp_path)
    assert [r[:5] for r in whole.rows] == [r[:5] for r in result.rows], "the same rows, with or without a value"


def test_parameters_that_do_not_suit_the_batches_are_an_error_and_no_divergence(based, tmp_path):
    own = method_params("ocar", replay=5)
    with pytest.raises(ReflowbenchError, match=r"methods\.ocar\.params\.replay = 5: must divide round\.batch = 32"):
        chain(Cell("mixture", 2, 0), gaussian_params(), tmp_path, "ocar", own)


def test_samples_that_are_not_finite_are_missing_with_the_reason():
    params, cell = gaussian_params(), Cell("mixture", 2, 0)
    rows = list(flows._measured(cell, params, "reflow", 1, lambda x, t: x * math.nan))
    assert {r.missing for r in rows} == {"64 of 64 samples are not finite: the model has diverged"}
    assert all(r.value is None for r in rows) and len(rows) == 2 * len(names(cell.law)) + 1


def run_stages(folder, workers, monkeypatch):
    """All bytes that the two stages write."""
    monkeypatch.setenv("REFLOWBENCH_THREADS", workers)
    for stage in (theory_gaussian_base, theory_gaussian):
        monkeypatch.setattr(stage, "set_threads", lambda: None)  # they would set those of this process
    file = folder / "params.yaml"
    base, out = folder / "base", folder / "reflow"
    theory_gaussian_base.main(argparse.Namespace(params=file, out=base))
    theory_gaussian.main(argparse.Namespace(params=file, name="again", method="reflow", bases=base, out=out))
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_stages_write_the_same_bytes_with_one_worker_and_two(tmp_path, monkeypatch):
    values = dict(read_yaml(ROOT / "theory/params.yaml"))
    values["methods"] = {"again": {"method": "reflow", "params": {}}}
    values["theory_gaussian"] = gaussian_params(seeds=[0, 1], dims=[2, 3], rounds=1).model_dump()
    written = []
    for workers in ("1", "2"):
        folder = tmp_path / workers
        folder.mkdir()
        monkeypatch.chdir(folder)
        (folder / "params.yaml").write_text(str(values).replace("None", "null").replace("True", "true"))
        written.append(run_stages(folder, workers, monkeypatch))
    assert written[0] == written[1]
    assert len(list((tmp_path / "1/base").glob("*-*-s*.safetensors"))) == 8
    rows = list(csv.DictReader(io.StringIO((tmp_path / "1/reflow/scores.csv").read_text())))
    assert list(rows[0]) == ["target", "dim", "seed", "method", "round", "nfe", "metric", "value", "missing"]
    found = list(dict.fromkeys((r["target"], r["dim"], r["seed"]) for r in rows))
    assert found == [(name, dim, seed) for name in ("gaussian", "mixture") for dim in "23" for seed in "01"]
    paths, facts = read_tensors(tmp_path / "1/reflow/trajectories.safetensors")
    assert {name: x.shape for name, x in paths.items()} == dict.fromkeys(("gaussian", "mixture"), (1, 5, 5, 2))
    assert facts == {"times": [0, 0.25, 0.5, 0.75, 1]}
    base = list(csv.DictReader(io.StringIO((tmp_path / "1/base/scores.csv").read_text())))
    assert {r["method"] for r in base} == {"base", "real", "exact"}


def test_a_name_that_means_something_else_in_the_tables_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(theory_gaussian, "set_threads", lambda: None)
    values = dict(read_yaml(ROOT / "theory/params.yaml")) | {"methods": {"base": {"method": "reflow", "params": {}}}}
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values))
    given = argparse.Namespace(params=file, name="base", method="reflow", bases=tmp_path, out=tmp_path / "out")
    with pytest.raises(ReflowbenchError, match=r"params.yaml: methods.base: a chain cannot be named base, "):
        theory_gaussian.main(given)


def test_missing_values_are_empty_in_the_table(tmp_path):
    params = gaussian_params(targets=["gaussian"], dims=[3])
    cell = Cell("gaussian", 3, 0)
    rows = [flows.Row(cell, "reflow", 1, 4, "bures", 0.25), flows.Row(cell, "reflow", 2, 4, "bures", None, "it, broke")]
    write_results(tmp_path, [flows.Result(cell, rows)], params)
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[1:] == ["gaussian,3,0,reflow,1,4,bures,0.25,", 'gaussian,3,0,reflow,2,4,bures,,"it, broke"']
    assert read_tensors(tmp_path / "trajectories.safetensors")[0] == {}, "nothing is drawn in three dimensions"


def test_the_solvers_of_the_pairs_hardly_change_an_exact_flow():
    """Of the committed parameters: what a perfect network would make of the narrowest laws."""
    theory = load_theory(ROOT / "theory/params.yaml")
    params, online = theory.theory_gaussian, theory.methods["ocar"].params
    for dim in params.dims:
        law = target("gaussian", dim)
        start = noise(0, "test", 0, range(4000), dim)
        for solver, steps, error in (
            (params.pairs.solver, params.pairs.steps, 0.03),
            (online["solver"], online["steps"], 0.1),
        ):
            samples = solve(law.velocity, start, solver, steps)
            exact = law.std * start  # less the mean: of the same noise, so that chance cancels
            ratio = samples.double().var(dim=0).sum() / exact.var(dim=0).sum()
            assert float(ratio) == pytest.approx(1, abs=error)


def test_the_committed_parameters_make_two_dimensional_trajectories():
    params = load_theory(ROOT / "theory/params.yaml").theory_gaussian
    assert params.rounds >= 10 and flows.DRAWN_DIM in params.dims
