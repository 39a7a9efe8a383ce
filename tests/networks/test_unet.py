"""The U-Net: what it promises as a velocity network, and the formulas of its parts."""

import copy
import math

import pytest
import torch
from torch import nn

from reflowbench.core.optimizer import Adam
from reflowbench.errors import ReflowbenchError
from reflowbench.networks import registry
from reflowbench.networks.base import MOST_BYTES, largest_divisor, rows_at_a_time, time_features
from reflowbench.networks.unet import Attention, ResidualBlock, UNet
from tests.networks.made import IMAGE, PAPER, UNET, made, states, stirred


def changed(**values):
    return UNET.model_copy(update=values)


def blocks_of(network):
    return [module for module in network.modules() if isinstance(module, ResidualBlock)]


def test_parameters_of_the_paper():
    """35.7 million on CIFAR-10 (the released training scripts), whatever the layout in memory."""
    with torch.device("meta"):
        network = registry.build(PAPER, (3, 32, 32), seed=0)
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(35.7e6, rel=0.02)
    # 2 blocks on the way down and 3 back on each of 4 levels, and 2 between; attention after those at 16x16 and one.
    assert len(blocks_of(network)) == 4 * (2 + 3) + 2
    assert sum(isinstance(module, Attention) for module in network.modules()) == 2 + 3 + 1
    assert {module._heads for module in network.modules() if isinstance(module, Attention)} == {4}


SHAPES = [
    ((1, 28, 28), {"multipliers": [1, 2, 2], "attention": [7]}),
    ((1, 28, 28), {"multipliers": [1, 1, 1, 1], "attention": [14, 4]}),  # 28, 14, 7, 4: an odd size is halved
    ((3, 32, 32), {"multipliers": [1, 2, 2, 2], "attention": [16]}),
    ((4, 32, 32), {"multipliers": [1, 2], "attention": []}),
    ((1, 5, 9), {"multipliers": [1, 2, 3], "attention": [3, 2]}),
    ((2, 8, 8), {"channels": 1, "attention": [8, 4]}),
    ((2, 8, 8), {"channels": 6, "blocks": 2, "head_channels": 5}),
    ((1, 1, 2), {"attention": [1]}),
    ((1, 28, 28), {"patch": 2, "attention": [7]}),
    ((3, 6, 9), {"patch": 3, "attention": [2, 1]}),
]


@pytest.mark.parametrize(("shape", "values"), SHAPES)
def test_any_shape_of_images_and_any_width(shape, values):
    """It starts as the zero field, and then gives states of the shape it was given."""
    params = changed(**values)
    x, t = states(3, shape)
    assert not registry.build(params, shape, seed=0)(x, t).any()
    velocity = made(params, shape)(x, t)
    assert velocity.shape == x.shape and velocity.isfinite().all() and velocity.std() > 1e-3


def test_a_level_that_is_not_there_is_named():
    with pytest.raises(ReflowbenchError, match=r"network.attention = \[16\]: no level has height 16; .* 28, 14, 7"):
        registry.build(changed(multipliers=[1, 1, 1], attention=[16]), (1, 28, 28), seed=0)
    with pytest.raises(ReflowbenchError, match=r"no level has height 28; .* patch 2 and 2 multipliers they have 14, 7"):
        registry.build(changed(patch=2, attention=[28]), (1, 28, 28), seed=0)


def test_images_that_are_not_made_of_whole_patches_are_refused():
    with pytest.raises(ReflowbenchError, match=r"network.patch = 3: images of 28x27 are not made of squares of 3x3"):
        registry.build(changed(patch=3), (1, 28, 27), seed=0)


def test_patches_are_images_whose_pixels_are_channels():
    """A network of patches is that of smaller images with more channels, between a cut and its inverse."""
    patches = changed(patch=2)
    network, inner = made(patches, (3, 8, 12)), made(UNET, (12, 4, 6))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), inner.parameters(), strict=True))
    x, t = states(5, (3, 8, 12))
    images = x.reshape(5, 3, 8, 12)
    cut = images.reshape(5, 3, 4, 2, 6, 2).permute(0, 1, 3, 5, 2, 4)
    expected = inner(cut.reshape(5, -1), t).reshape(5, 3, 2, 2, 4, 6).permute(0, 1, 4, 2, 5, 3)
    assert torch.allclose(network(x, t), expected.reshape(5, -1), atol=1e-6)


def test_one_time_for_all_is_the_same_time_for_each():
    network = made()
    x, _ = states(4)
    assert torch.allclose(network(x, torch.tensor([0.3])), network(x, torch.full((4,), 0.3)), atol=1e-6)


def test_time_enters_every_block():
    """With the projections of all other blocks cut off the output still depends on the time; with all cut off not."""
    x, _ = states(2)
    count = len(blocks_of(made()))

    def moves(kept):
        network = made()
        for index, block in enumerate(blocks_of(network)):
            if index != kept:
                nn.init.zeros_(block.time.weight)
        early, late = (network(x, torch.tensor([t])) for t in (0.2, 0.8))
        return (early - late).abs().max().item()

    assert count == 2 * (1 + 2) + 2
    assert all(moves(kept) > 1e-4 for kept in range(count))
    assert moves(None) == 0


def test_a_gradient_reaches_every_weight():
    network = made().train()
    x, t = states(4)
    network(x, t).square().sum().backward()
    assert [name for name, weight in network.named_parameters() if not weight.grad.any()] == []


def test_training_from_the_zero_field_moves_every_weight():
    """What starts at zero lets nothing through at first: layer by layer all are reached."""
    network = registry.build(UNET, IMAGE, seed=0)
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    optimizer, (x, t) = Adam(list(network.parameters())), states(4)
    for _ in range(4):
        optimizer.zero_grad()
        (network(x, t) - 1 - x).square().mean().backward()
        optimizer.step(1e-2)
    assert [name for name, weight in network.named_parameters() if torch.equal(weight, before[name])] == []


def test_a_row_does_not_depend_on_its_neighbours():
    """To the bit in a batch of the same size, as the solvers' blocks are; otherwise to rounding."""
    network, (x, t) = made(), states(6)
    other, _ = states(6, seed=1)
    other[2] = x[2]
    with torch.no_grad():
        whole = network(x, t)
        assert torch.equal(network(other, t)[2], whole[2])
        assert torch.allclose(network(x[2:3], t[2:3]), whole[2:3], atol=1e-5)


@pytest.mark.parametrize("one_time", [False, True])
def test_many_rows_are_evaluated_a_few_at_a_time(one_time, monkeypatch):
    """In evaluation mode only: a training batch has its gradient in one piece."""
    network, (x, t) = made(), states(10)
    seen, evaluated = [], UNet.velocity

    def watched(self, images, times):
        seen.append((len(images), len(times)))
        return evaluated(self, images, times)

    monkeypatch.setattr(UNet, "velocity", watched)
    t = t[:1] if one_time else t
    with torch.no_grad():
        whole = network(x, t)
        network.rows = 4
        parts = network(x, t)
        network.train()(x, t)
    assert seen == [(n, 1 if one_time else n) for n in (10, 4, 4, 2, 10)]
    assert torch.allclose(parts, whole, atol=1e-5)


def test_rows_at_a_time_keep_memory_flat():
    found = [rows_at_a_time(values) for values in (1, 10**6, 4 * 10**6, 16 * 10**6, 10**9, 10**12)]
    assert found == [256, 256, 128, 32, 1, 1]
    for values in (3 * 10**6, 10**7, 2**29):
        rows = rows_at_a_time(values)
        assert rows * 4 * values <= MOST_BYTES < 2 * rows * 4 * values
    rows = [UNet((3, size, size), changed(channels=128, attention=[])).rows for size in (32, 64, 128)]
    assert rows[0] == 256 and rows[0] > rows[1] == 4 * rows[2]


def test_dropout_is_of_training_only():
    network, (x, t) = made(changed(dropout=0.5)), states(4)
    assert torch.equal(network(x, t), network(x, t))
    network.train()
    assert not torch.equal(network(x, t), network(x, t))
    without = made(changed(dropout=0.0)).train()
    assert torch.equal(without(x, t), without(x, t))


def test_mirrored_kernels_see_mirrored_images():
    """On one level nothing knows left from right but the kernels."""
    params = changed(multipliers=[1], attention=[8])
    network, (x, t) = made(params), states(3)
    mirrored = copy.deepcopy(network)
    with torch.no_grad():
        for weight in mirrored.parameters():
            if weight.dim() == 4:
                weight.copy_(weight.flip(3))
        flip = lambda rows: rows.reshape(-1, *IMAGE).flip(3).reshape(len(rows), -1)  # noqa: E731
        assert torch.allclose(mirrored(flip(x), t), flip(network(x, t)), atol=1e-5)
        assert not torch.allclose(network(flip(x), t), flip(network(x, t)), atol=1e-2)


def test_attention_by_its_formula():
    """x + W_o softmax(q k^T / sqrt(d)) v, head by head, with q, k, v from the normalized input."""
    attention = stirred(Attention(8, 4), scale=0.5)
    x = torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(0))
    q, k, v = attention.project(attention.norm(x)).reshape(2, 3, 8, 15).unbind(1)
    heads = []
    for h in (slice(0, 4), slice(4, 8)):
        weight = torch.softmax(torch.einsum("ncq,nck->nqk", q[:, h], k[:, h]) / math.sqrt(4), dim=2)
        heads.append(torch.einsum("nqk,nck->ncq", weight, v[:, h]))
    expected = x + attention.output(torch.cat(heads, dim=1).reshape(2, 8, 3, 5))
    assert torch.allclose(attention(x), expected, atol=1e-5)


def test_a_residual_block_by_its_formula():
    block = stirred(ResidualBlock(4, 8, 6, dropout=0.9), scale=0.5).eval()
    x, e = torch.randn(2, 4, 5, 5), torch.randn(2, 6)
    silu = lambda value: value * torch.sigmoid(value)  # noqa: E731
    hidden = block.first(silu(block.first_norm(x))) + (e @ block.time.weight.T + block.time.bias)[..., None, None]
    expected = block.second(silu(block.second_norm(hidden))) + block.skip(x)
    assert torch.allclose(block(x, e), expected, atol=1e-5)


def test_narrow_networks_have_fewer_groups():
    """Never a group of a single channel where there is a choice: it would lose that channel's scale."""
    found = {c: (n := nn.GroupNorm(largest_divisor(c, min(32, c // 4)), c)).num_channels // n.num_groups
             for c in (128, 256, 384, 512, 8, 12, 16, 24, 40)}  # fmt: skip
    assert found == {128: 4, 256: 8, 384: 12, 512: 16, 8: 4, 12: 4, 16: 4, 24: 4, 40: 4}
    assert [largest_divisor(c, c // 4) for c in (1, 3, 6, 7, 10)] == [1, 1, 1, 1, 2]


def test_features_of_time_by_their_formula():
    t = torch.tensor([0.0, 0.25, 1.0])
    found = time_features(t, 6)
    for column, frequency in enumerate((1.0, math.sqrt(1000), 1000.0)):
        assert torch.allclose(found[:, column], torch.sin(t * frequency), atol=1e-3)
        assert torch.allclose(found[:, 3 + column], torch.cos(t * frequency), atol=1e-3)


@pytest.mark.parametrize("patch", [1, 2])
def test_the_layout_in_memory_changes_nothing_else(tmp_path, patch):
    params = changed(patch=patch)
    plain, last = (made(params.model_copy(update={"channels_last": value})) for value in (False, True))
    x, t = states(3)
    assert torch.allclose(plain(x, t), last(x, t), atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), last.parameters(), strict=True))
    registry.save(tmp_path / "m", last, params.model_copy(update={"channels_last": True}), IMAGE)
    loaded, _, _ = registry.load(tmp_path / "m")
    assert torch.equal(loaded(x, t), last(x, t))
    for network, is_last in ((loaded, True), (copy.deepcopy(last), True), (plain, False)):
        kernel = network.down[0][0].residual.first.weight
        assert kernel.is_contiguous(memory_format=torch.channels_last) == is_last


@pytest.mark.slow
def test_a_compiled_network_is_the_same_network(tmp_path, monkeypatch):
    """By the compiler's front end alone; its back end takes minutes."""
    compiled, compile_ = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **o: compiled.append(f) or compile_(f, backend="eager"))
    network, plain, (x, t) = made(changed(compile=True)), made(), states(3)
    assert len(compiled) == 1
    assert torch.allclose(network(x, t), plain(x, t), atol=1e-6)
    assert network.state_dict().keys() == plain.state_dict().keys()
    assert torch.allclose(copy.deepcopy(network)(x, t), plain(x, t), atol=1e-6)
    registry.save(tmp_path / "m", network, changed(compile=True), IMAGE)
    assert torch.allclose(registry.load(tmp_path / "m")[0](x, t), plain(x, t), atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_no_states_have_no_velocities(training):
    """One of several processes may have no row of a batch."""
    network = made().train(training)
    assert network(*states(0)).shape == (0, math.prod(IMAGE))
