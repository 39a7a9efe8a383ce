"""What is planned is what runs record, exactly, and what the formulas of a network say."""

import io
import math

import pytest
import torch

from reflowbench import cli, profiles
from reflowbench.cost.measure import Throughput, measure
from reflowbench.cost.network import VelocityCost, classifier_training
from reflowbench.cost.pairs import variants
from reflowbench.cost.plan import ADAPTIVE_NFE, Planner, facts
from reflowbench.cost.view import short, show
from reflowbench.cost.work import Work
from reflowbench.data.blocks import BLOCK
from reflowbench.methods import registry
from reflowbench.metrics.evaluate import Evaluation
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.metrics.reference import Reference
from reflowbench.networks import registry as networks
from reflowbench.runtime.config import validate
from reflowbench.runtime.params import MLPParams
from reflowbench.sources.load import load_images
from tests.conftest import ROOT, round_params
from tests.cost.made import N_IMAGES, params_of

VARIANTS = [
    *((name, {}) for name in registry.names()),
    ("rca", {"regenerate_every": 0}),
    ("rca", {"regenerate_every": 11}),  # not at the end of the round
    ("rca", {"regenerate_every": 10}),
    ("rca", {"regenerate_every": 3, "real_fraction": 0.0}),
    ("rca", {"regenerate_every": 3, "real_fraction": 1.0}),
    ("rca", {"regenerate_every": 3, "pairs": {"solver": "heun"}}),
    ("rca", {"real_fraction": 0.01}),  # no real pair in a batch of 24
    ("rca_ot", {"regenerate_every": 4, "source": "ema", "assignment": "semidiscrete"}),
    ("conic", {"regenerate_every": 5, "real_fraction": 0.0}),
    ("conic", {"regenerate_every": 5, "real_fraction": 1.0}),
    ("fresh", {"real_fraction": 1.0}),
    ("fresh", {"real_fraction": 0.0}),
    ("ocar", {"replay": 1}),
    ("ocar", {"replay": 3, "real_fraction": 0.3}),
    ("ocar", {"replay": 24, "real_fraction": 0.7}),
    ("ocar", {"replay": 24, "real_fraction": 0.7, "round_": {"steps": 60}}),
    ("ocar", {"real_fraction": 1.0, "solver": "rk4"}),
    ("ocar_s", {"real_fraction": 0.3, "solver": "heun"}),
    ("ot", {"assignment": "semidiscrete"}),
]


@pytest.mark.parametrize(("method", "changes"), VARIANTS, ids=[f"{m}-{c}" for m, c in VARIANTS])
def test_a_plan_is_what_training_records(rounds, method, changes):
    params = params_of(method, **changes)
    [variant] = variants(params)
    recorded = rounds.facts(params)
    assert {name: recorded[name] for name in facts(variant, N_IMAGES)} == facts(variant, N_IMAGES)


def planner(profile="tiny", **changes):
    values = profiles.resolve(profile, ROOT / "profiles")
    for name, value in changes.items():
        group, _, key = name.partition("__")
        values[group][key] = value
    params = validate(values)
    train, heldout = load_images(params.data)
    return Planner(params, train, heldout, train.shape), params


def lines(profile="tiny", **changes):
    return {(line.group, line.method): line for line in planner(profile, **changes)[0].lines()}


def test_every_stage_of_the_pipeline_has_its_line():
    """As many of each group as DVC makes of dvc.yaml (tests/dag)."""
    found = lines("digits")
    stages = {group: sum(line.stages for (g, _), line in found.items() if g == group) for group, _ in found}
    assert stages == {
        "prepare_data": 1, "encode": 1, "train_features": 1, "train_base": 3,
        "generate_pairs": 60, "rca_regenerate": 36,
        "fresh": 12, "reflow": 12, "rca": 36, "ocar": 24, "ot": 12, "evaluate_base": 3, "evaluate": 72,
        "summarize": 1, "report": 1, "track": 1,
    }  # fmt: skip


def test_the_ablations_are_one_stage_a_chain():
    found = lines("ablations")
    chains = [line for line in found.values() if line.group == "chain"]
    assert len(chains) == len(profiles.resolve("ablations", ROOT / "profiles")["chains"])
    assert found["train_base", ""].stages == 6 and ("encode", "") not in found
    # One of its stages does what the pipeline's do one by one; nothing is shown while it trains.
    pipeline = lines("digits")
    parts = ("generate_pairs", "rca_regenerate", "rca", "evaluate")
    whole = sum((pipeline[group, "rca"].work for group in parts), Work())
    chain = found["chain", "rca_alpha_100"].each
    assert (chain.updates, chain.train, chain.forward, chain.inversion) == (
        whole.updates, whole.train, whole.forward, whole.inversion)  # fmt: skip


def test_network_evaluations_are_those_that_are_made():
    """Of evaluating a model and of looking at it: counted by calling the network."""
    plan, params = planner(evaluate__features=["pixels"], evaluate__floor_repeats=2)
    train, heldout = load_images(params.data)
    rows = 0

    class Counted(torch.nn.Module):
        def forward(self, x, t):
            nonlocal rows
            rows += len(x)
            return -x

    reference = Reference(train, [], Classifier(train.shape, train.classes, 8), params.evaluate)
    evaluation = Evaluation(Counted(), train, heldout, reference, params.evaluate, seed=0)
    parts = []
    for name in evaluation:
        parts.append((name, rows))
        rows = 0
    p = params.evaluate
    assert dict(parts) == {"euler 1": BLOCK, "euler 5": 5 * BLOCK, "inversion": 2 * 2 * p.inversion_steps * 2 * BLOCK,
                           "dopri5": dict(parts)["dopri5"]}  # fmt: skip
    fixed = sum(n for name, n in parts if name != "dopri5")
    expected = fixed // BLOCK * plan.network.sampling(BLOCK).flops
    expected += ADAPTIVE_NFE * plan.network.sampling(p.n_samples).flops
    [line] = [line for line in plan.lines() if line.group == "evaluate_base"]
    assert line.each.sample_flops == expected
    inverted = 2 * 2 * p.inversion_steps * 2 * p.inversion_images
    assert line.each.looking == p.n_samples * (1 + 5 + ADAPTIVE_NFE) + inverted


@pytest.mark.parametrize(("steps", "looks"), [(12, 3), (13, 4), (5, 2)])
def test_a_model_is_looked_at_before_every_so_many_updates_and_after_the_last(steps, looks):
    line = lines(round__steps=steps, monitor__every=6)["reflow", "reflow"]
    assert line.each.looking == looks * 64 * 2


def mlp_flops(params, dim, rows, times):
    """Two operations for each weight of a matrix and row; those of the times once for each time."""
    h, f = params.hidden, params.time_features
    return 2 * rows * (dim * h + 2 * params.blocks * h * h + h * dim) + 2 * times * params.blocks * f * h


def test_flops_and_parameters_of_the_network():
    params = MLPParams(name="mlp", hidden=48, blocks=2, time_features=8)
    cost = VelocityCost(params, (1, 4, 5))
    assert cost.sampling(256).flops == mlp_flops(params, 20, 256, 1)
    assert cost.sampling(64, own_times=True).flops == mlp_flops(params, 20, 64, 64)
    forward = mlp_flops(params, 20, 32, 32)
    # The backward pass costs twice the forward one, but for gradients of what comes in: images and times.
    spared = 2 * 32 * (20 * 48 + 2 * 8 * 48)
    assert cost.training(round_params(batch=32)).flops == 3 * forward - spared
    made = networks.build(params, (1, 4, 5), seed=0)
    assert cost.parameters == sum(weight.numel() for weight in made.parameters())
    assert cost.weight_bytes == 4 * cost.parameters


def test_activations_are_what_a_backward_pass_keeps():
    """They grow with the batch, and are as large as the largest of them at least."""
    cost = VelocityCost(MLPParams(name="mlp", hidden=48, blocks=2, time_features=8), (1, 4, 5))
    small, large = (cost.training(round_params(batch=batch)).activations for batch in (32, 64))
    assert large == pytest.approx(2 * small, rel=0.01)
    assert small > 4 * 32 * 48 * 2 * 3, "of each block its input, its norm and what the nonlinearity takes"


def test_the_classifiers_weights_are_counted():
    params = validate(profiles.resolve("tiny", ROOT / "profiles")).features
    cost, size = classifier_training(params, (1, 8, 8), 10)
    network = Classifier((1, 8, 8), 10, params.dim)
    assert size == 4 * sum(weight.numel() for weight in network.parameters()) and cost.flops > 0


def test_disk_is_what_files_hold():
    found = lines()
    _, params = planner()
    n_train, dim = 240, 64
    assert found["generate_pairs", "reflow"].disk == 4 * params.pairs.n * dim
    assert found["rca_regenerate", "rca"].disk == 4 * n_train * dim
    assert found["train_base", ""].disk == found["rca", "rca"].disk > 0
    assert found["evaluate", "rca"].disk == 4 * params.evaluate.grid_images * dim * 3


def test_what_a_method_carries_is_on_disk(rounds):
    [accumulate] = variants(params_of("accumulate"))
    assert [accumulate.carried_bytes(k, 40, 64) for k in (1, 2)] == [4 * 70 * 64, 2 * 4 * 70 * 64]
    [ot] = variants(params_of("ot", assignment="semidiscrete"))
    assert ot.carried_bytes(3, 40, 64) == 160
    assert [v.carried_bytes(3, 40, 64) for v in variants(params_of("ot", assignment="dataset"))] == [0]


def test_a_measured_throughput_is_positive():
    plan, params = planner()
    found = measure(params, plan.network, (1, 8, 8))
    assert 0 < found.training < 1e15 and 0 < found.sampling < 1e15
    assert Throughput(2.0, 4.0).seconds(10, 8) == 7.0


def test_numbers_are_short():
    found = [short(n).strip() for n in (0, 7, 999, 1000, 1234, 999_600, 5.43e12)]
    assert found == ["", "7", "999", "1 k", "1.23 k", "1 M", "5.43 T"]


def shown(throughput=None):
    plan, _ = planner()
    file = io.StringIO()
    show(plan.lines(), plan.network.parameters, throughput, file)
    return file.getvalue()


def test_the_whole_is_the_sum_of_the_lines():
    whole, _ = planner()
    total = sum((line.work for line in whole.lines()), Work())
    last = next(line for line in shown().splitlines() if line.startswith(" all"))
    assert last.split()[2] == str(total.updates) and "hours" not in shown()
    hours = (total.train_flops + total.sample_flops) / 1e9 / 3600
    last = next(line for line in shown(Throughput(1e9, 1e9)).splitlines() if line.startswith(" all"))
    assert float(last.split()[-1]) == pytest.approx(hours, rel=0.1)


def test_the_command(tmp_path, monkeypatch, capsys):
    """Of a profile, and of params.yaml as it is; steps a second are as good as FLOPs."""
    monkeypatch.chdir(ROOT)
    cli.main(["cost", "--profile", "tiny", "--flops", "1e10"])
    assert "rca_regenerate" in (text := capsys.readouterr().out) and "10 GFLOP/s" in text
    (tmp_path / "params.yaml").write_text(profiles.render(profiles.resolve("tiny", ROOT / "profiles")))
    monkeypatch.chdir(tmp_path)
    step = planner()[0].network.training(planner()[1].round).flops
    cli.main(["cost", "--steps-per-second", str(1e10 / step)])
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "many"])
def test_a_throughput_is_a_positive_number(value, capsys):
    with pytest.raises(SystemExit):
        cli.main(["cost", f"--flops={value}"])
    assert "want a positive number" in capsys.readouterr().err
    assert math.isfinite(cli._positive("1e13"))
