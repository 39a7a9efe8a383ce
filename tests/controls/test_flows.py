import math

import pytest
import torch
from pydantic import ValidationError

from reflowbench.controls.gans.flows import ReflowChain, as_images
from reflowbench.controls.gans.mixtures import mixture
from reflowbench.controls.gans.modes import mode_scores
from reflowbench.controls.gans.params import FlowParams, GansParams
from reflowbench.controls.gans.report import Row, table, to_csv
from reflowbench.flow.solvers import solve
from reflowbench.pairs.store import StoredHalf, synthetic_noise
from reflowbench.runtime.config import parse, read_yaml
from stages import control_gans
from tests.conftest import ROOT

PARAMS = ROOT / "controls/params.yaml"


def optim(**changes):
    values = {"steps": 10, "batch": 64, "lr": 5e-3, "schedule": "cosine", "warmup": 0, "ema": 0.9, "clip": 1.0}
    return values | {"loss": "mse", "times": "uniform"} | changes


def flow(**changes):
    values = {"rounds": 2, "points": 500, "network": {"name": "mlp", "hidden": 32, "blocks": 2, "time_features": 16}}
    values |= {"base": optim(), "round": optim(steps=6), "pairs": {"n": 300, "solver": "heun", "steps": 3}}
    return parse(FlowParams, values | {"solver": "euler", "nfe": [1, 10]} | changes, "")


def test_points_travel_as_images():
    truth = mixture("grid")
    images = as_images(truth, 500, seed=3)
    assert images.dim == 2 and len(images) == 500 and images.images.abs().max() <= 1
    assert mode_scores(images.images * truth.scale, truth).high_quality > 0.95
    assert torch.equal(images.images, as_images(truth, 500, seed=3).images)
    assert not torch.equal(images.images, as_images(truth, 500, seed=4).images)


def test_a_round_trains_on_pairs_of_the_model_before(tmp_path):
    params = flow()
    chain = ReflowChain(mixture("ring"), params, 0, tmp_path)
    assert len(list(chain)) == len(chain) == 10 + 2 * 6 and len(chain.models) == 3
    for k in (1, 2):
        stored = StoredHalf(tmp_path / f"round{k}" / "synthetic")
        assert (stored.manifest.round, stored.manifest.count, stored.manifest.dim) == (k, 300, 2)
        made = solve(chain.models[k - 1], synthetic_noise(0, k, range(256), 2), "heun", 3).clamp(-1, 1)
        assert torch.equal(stored.rows(torch.arange(256)), made)


def test_a_chain_is_deterministic_and_depends_on_the_seed(tmp_path):
    samples = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(samples))
        chain = ReflowChain(mixture("ring"), flow(), seed, tmp_path / name)
        list(chain)
        samples[name] = chain.sample(2, 10, 40)
    assert torch.equal(samples["a"], samples["b"]) and not torch.equal(samples["a"], samples["c"])


def test_many_steps_cover_the_modes_and_one_step_gives_their_mean(tmp_path):
    """At t = 0 the independent coupling's velocity is E[x1] - x0: one step from anywhere ends at the grid's centre."""
    truth = mixture("grid")
    params = flow(rounds=1, points=8000, base=optim(steps=500, batch=256), round=optim(steps=60, batch=256))
    chain = ReflowChain(truth, params, 0, tmp_path)
    list(chain)
    one, many = (mode_scores(chain.sample(0, nfe, 1000), truth) for nfe in (1, 40))
    assert one.mode_kl > math.log(25 / 3), "most of the mass is at one mode"
    assert many.mode_kl < 0.1
    assert mode_scores(chain.sample(1, 1, 1000), truth).mode_kl < 0.5, "which one round of Reflow mends"


def test_steps_are_whole():
    with pytest.raises(ValidationError, match="multiples of 2"):
        FlowParams.model_validate(flow().model_dump() | {"solver": "heun"})


def test_the_table_and_the_csv():
    rows = [Row("ring", "plain", 0, 1, seed, 8, covered, 0.5, 1.25) for seed, covered in enumerate((1, 2, 3))]
    rows.append(Row("ring", "reflow", 2, 50, 0, 8, 8, 0.75, 0.125))
    assert to_csv(rows).splitlines()[1:] == [
        *(f"ring,plain,0,1,{seed},8,{seed + 1},0.500000,1.250000" for seed in range(3)),
        "ring,reflow,2,50,0,8,8,0.750000,0.125000",
    ]
    lines = table(rows).splitlines()
    assert lines[0].startswith("| model | modes covered of 8 |") and len(lines) == 4
    assert lines[2].startswith("| plain | 2.0 ± 2.5 |")  # t of 2 degrees, 4.30, over sqrt(3)
    assert lines[3] == "| reflow k = 2, NFE 50 | 8 | 0.75 | 0.125 |"


def test_the_stage_writes_the_same_bytes_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = read_yaml(PARAMS)["gans"]
    gan = values["gan"] | {"steps": 3, "batch": 32, "hidden": 8}
    values |= {"seeds": [0, 1], "n_samples": 50, "gan": gan, "flow": flow(rounds=1).model_dump()}
    monkeypatch.setattr(control_gans, "read_yaml", lambda path: {"gans": values})
    monkeypatch.setattr(control_gans, "set_threads", lambda: None)
    outputs = []
    for run in ("a", "b"):
        files = [tmp_path / run / name for name in ("gans.csv", "gans.md", "figures/gans.png")]
        options = zip(("--table", "--report", "--figure"), map(str, files), strict=True)
        argv = [word for option in options for word in option]
        control_gans.main(control_gans.PARSER.parse_args(argv, control_gans.argparse.Namespace(params=PARAMS)))
        outputs.append([file.read_bytes() for file in files])
    assert outputs[0] == outputs[1]
    header, *rows = outputs[0][0].decode().splitlines()
    models = 2 + len(values["variants"]) + 2 * 2
    assert header.startswith("mixture,model,round,nfe,seed") and len(rows) == 2 * 2 * models
    assert b"](figures/gans.png)" in outputs[0][1]
    assert not list((tmp_path / ".scratch/temporary").iterdir()), "pairs are not left behind"


def test_the_committed_parameters_are_valid():
    params = parse(GansParams, read_yaml(PARAMS)["gans"], "gans.", str(PARAMS))
    assert params.flow.rounds >= 4 and len(params.seeds) >= 3
