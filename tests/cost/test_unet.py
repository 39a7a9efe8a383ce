"""What a pass through a U-Net costs, by the formulas of its layers."""

import pytest
import torch

from reflowbench import cli, profiles
from reflowbench.cost.network import VelocityCost, _Held
from reflowbench.cost.plan import Planner
from reflowbench.networks import registry
from reflowbench.networks.unet import UNet
from reflowbench.runtime import config
from reflowbench.runtime.config import validate
from reflowbench.sources.load import load_images
from tests.conftest import ROOT, round_params
from tests.networks.made import IMAGE, PAPER, UNET

C, PIXELS, WIDTH = 8, 64, 32
ONE_LEVEL = UNET.model_copy(update={"multipliers": [1], "attention": [8]})


def convolution(n, channels, out, kernel):
    """Two operations for each weight, at every pixel."""
    return 2 * n * PIXELS * kernel**2 * channels * out


def block(n, times, channels):
    skip = convolution(n, channels, C, 1) if channels != C else 0
    return convolution(n, channels, C, 3) + convolution(n, C, C, 3) + skip + 2 * times * WIDTH * C


def attention(n):
    """Queries, keys and values; all pixels with all pixels, and back; the output."""
    return convolution(n, C, 3 * C, 1) + 2 * (2 * n * PIXELS**2 * C) + convolution(n, C, C, 1)


def whole(n, times):
    down = block(n, times, C) + attention(n)
    middle = 2 * block(n, times, C) + attention(n)
    up = 2 * (block(n, times, 2 * C) + attention(n))
    ends = convolution(n, IMAGE[0], C, 3) + convolution(n, C, IMAGE[0], 3)
    return down + middle + up + ends + 2 * times * (C * WIDTH + WIDTH * WIDTH)


@pytest.mark.parametrize("n", [1, 6])
def test_operations_of_a_pass(n):
    cost = VelocityCost(ONE_LEVEL, IMAGE)
    assert cost.sampling(n).flops == whole(n, 1)
    assert cost.sampling(n, own_times=True).flops == whole(n, n)
    # The backward pass costs twice the forward one, but for gradients of what comes in: images and times.
    spared = convolution(n, IMAGE[0], C, 3) + 2 * n * C * WIDTH
    assert cost.training(round_params(batch=n)).flops == 3 * whole(n, n) - spared
    made = registry.build(ONE_LEVEL, IMAGE, 0)
    assert cost.parameters == sum(weight.numel() for weight in made.parameters()) == cost.weight_bytes / 4


def test_micro_batches_take_the_memory_of_one():
    cost = VelocityCost(UNET, IMAGE)
    whole_batch, parts, part = (
        cost.training(round_params(batch=batch, microbatch=size)) for batch, size in ((20, None), (20, 8), (8, None))
    )
    assert parts.flops == whole_batch.flops
    assert parts.activations == part.activations < whole_batch.activations / 2


@pytest.mark.long
def test_sampling_many_rows_takes_the_memory_of_a_few(monkeypatch):
    """Beyond what goes in and comes out."""
    monkeypatch.setattr("reflowbench.networks.base.MOST_ROWS", 4)
    cost = VelocityCost(UNET, IMAGE)
    assert UNet(IMAGE, UNET).rows == 4
    few, many = cost.sampling(4), cost.sampling(400)
    assert many.flops == pytest.approx(100 * few.flops, rel=0.02)  # the times once for each part
    assert many.activations <= few.activations + 3 * 4 * 400 * 128


def test_the_estimate_of_a_networks_memory_is_near_the_count():
    """What `rows_at_a_time` goes by, for the paper's network: 256 rows within 2 GiB, give or take a half."""
    held = VelocityCost(PAPER, (3, 32, 32)).sampling(256).activations
    with torch.device("meta"):
        assert UNet((3, 32, 32), PAPER).rows == 256
    assert 2**30 < held < 2**31 * 1.5


def test_what_is_held_at_a_time():
    x = torch.zeros(10, device="meta")
    with _Held() as held:
        y = (x + 1) + 1  # the first sum is dropped when the second is there
        assert held.most == 80
        z = y.view(2, 5)  # no memory of its own
        del y
        z = z + 1
    assert held.most == 80


def test_the_cost_of_a_profile_with_a_unet(tmp_path, monkeypatch, capsys):
    values = profiles.resolve("tiny", ROOT / "profiles")
    values["network"] = UNET.model_dump()
    params = validate(values)
    train, heldout = load_images(params.data)
    planner = Planner(params, train, heldout, train.shape)
    lines = {(line.group, line.method): line for line in planner.lines()}
    made = registry.build(UNET, (1, 8, 8), 0)
    parameters = sum(weight.numel() for weight in made.parameters())
    assert lines["train_base", ""].disk == 4 * parameters
    assert lines["rca", "rca"].each.train_flops == params.round.steps * planner.network.training(params.round).flops
    (tmp_path / "params.yaml").write_text(profiles.render(values))
    monkeypatch.chdir(tmp_path)
    config._read.cache_clear()
    cli.main(["cost"])
    assert f"Velocity network: {parameters:,} parameters." in capsys.readouterr().out
