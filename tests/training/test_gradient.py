"""The gradient of a batch: the same in one pass or in several, in full or in half precision."""

import pytest
import torch
from torch import nn

from reflowbench.core.optimizer import Adam
from reflowbench.flow.loss import velocity_loss
from reflowbench.runtime.distributed import World
from reflowbench.training.gradient import Gradient
from tests.conftest import round_params
from tests.networks.made import made, states

ROWS = 24


class Linear(nn.Module):
    """v = W x, whose gradient is a closed form. Says how many rows it was given at a time, and in what type."""

    def __init__(self, dim=16, dtype=torch.float32):
        super().__init__()
        self.layer = nn.Linear(dim, dim, bias=False, dtype=dtype)
        nn.init.zeros_(self.layer.weight)
        self.seen = []

    def forward(self, x, t):
        value = self.layer(x)
        self.seen.append((len(x), value.dtype))
        return value


def batch(dtype=torch.float32, scale=1.0, dim=16):
    draw = torch.Generator().manual_seed(0)
    x0 = torch.randn(ROWS, dim, generator=draw).to(dtype)
    t = torch.rand(ROWS, generator=draw).to(dtype)
    return x0, x0 + scale * (x0.flip(1) + 1), t


def gradient_of(network, pairs, step=0, **changes):
    """Loss and gradients by `Gradient`, and the object."""
    params = round_params(batch=ROWS, **changes)
    gradient = Gradient(network, Adam(list(network.parameters())), params, seed=5, round_=2)
    loss = gradient(*pairs, step)
    return loss, [weight.grad for weight in network.parameters()], gradient


def difference(found, expected):
    """Relative, in the Euclidean norm over all weights."""
    flat = [torch.cat([g.flatten() for g in gradients]).double() for gradients in (found, expected)]
    return ((flat[0] - flat[1]).norm() / flat[1].norm()).item()


@pytest.mark.parametrize("loss", ["mse", "pseudo_huber"])
@pytest.mark.parametrize("size", [1, 5, 8, 23, 24, 100])
def test_parts_of_a_batch_add_up_to_the_whole(loss, size):
    """Parts that do not divide the batch too; in double precision, where rounding is far away."""
    pairs = batch(torch.float64)
    whole, expected, _ = gradient_of(Linear(dtype=torch.float64), pairs, loss=loss)
    network = Linear(dtype=torch.float64)
    found, gradients, _ = gradient_of(network, pairs, loss=loss, microbatch=size)
    assert found == pytest.approx(whole, rel=1e-14)
    assert difference(gradients, expected) < 1e-14
    assert max(rows for rows, _ in network.seen) == min(size, ROWS), "memory is that of a part"
    assert sum(rows for rows, _ in network.seen) == ROWS


def test_parts_of_a_batch_through_a_unet():
    pairs = (states(ROWS)[0], states(ROWS, seed=1)[0], states(ROWS)[1])
    network = made().eval()  # no dropout, which draws other masks for other shapes
    whole, expected, _ = gradient_of(network, pairs)
    found, gradients, _ = gradient_of(network, pairs, microbatch=7)
    assert found == pytest.approx(whole, rel=1e-5) and difference(gradients, expected) < 1e-5


def test_the_whole_batch_is_one_pass_to_the_bit(network):
    pairs = batch()
    found, gradients, _ = gradient_of(network, pairs)
    network.zero_grad()
    loss = velocity_loss(network, *pairs, "mse")
    loss.backward()
    assert found == loss.item()
    assert all(torch.equal(a, b.grad) for a, b in zip(gradients, network.parameters(), strict=True))


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
@pytest.mark.parametrize("microbatch", [None, 7])
def test_half_precision_is_that_of_products_alone(precision, dtype, microbatch):
    """The gradient differs by the rounding of the type; weights, gradients and loss stay float32."""
    full, expected, _ = gradient_of(made().train(False), (states(ROWS)[0], *batch_of_unet()))
    network = made().train(False)
    pairs = (states(ROWS)[0], *batch_of_unet())
    loss, gradients, _ = gradient_of(network, pairs, precision=precision, microbatch=microbatch)
    assert 0 < difference(gradients, expected) < (0.05 if precision == "bf16" else 0.01)
    assert loss == pytest.approx(full, rel=0.02) and loss != full
    assert all(g.dtype == torch.float32 for g in gradients)
    linear = Linear()
    gradient_of(linear, batch(), precision=precision)
    assert linear.seen == [(ROWS, dtype)]


def batch_of_unet():
    return states(ROWS, seed=1)[0], states(ROWS)[1]


def test_gradients_below_the_smallest_half_number_are_not_lost():
    """Of the output of a network they are 2 e / (n dim): with errors e of 1e-6 all would be zero in fp16."""
    pairs = batch(scale=1e-6)
    _, expected, _ = gradient_of(Linear(), pairs)
    _, found, _ = gradient_of(Linear(), pairs, precision="fp16")
    assert difference(found, expected) < 0.01
    network = Linear()
    unscaled = Gradient(network, Adam(list(network.parameters())), round_params(precision="fp16"), 5, 2)
    unscaled._scaler = None
    unscaled(*pairs, 0)
    assert not network.layer.weight.grad.any()


def test_a_pass_that_overflows_is_repeated_at_half_the_scale():
    """2 e / (n dim) times the scale is above the largest half number until the scale is small enough."""
    x0, x1, t = batch(scale=3e3)
    pairs = x0, x1, torch.zeros_like(t)  # so that the states that the weights' gradient is made of are small
    _, expected, _ = gradient_of(Linear(), pairs)
    network = Linear()
    loss, found, gradient = gradient_of(network, pairs, precision="fp16")
    passes = len(network.seen)
    assert passes > 1 and difference(found, expected) < 0.01
    assert gradient.state()["scale"] == 65536 / 2 ** (passes - 1)
    largest = 2 * (x1 - x0).abs().max().item() / (ROWS * 16)
    assert largest * gradient.state()["scale"] < 65504
    network.seen.clear()
    gradient(*pairs, 1)
    assert len(network.seen) == 1, "the scale is remembered"
    other = Gradient(network, Adam(list(network.parameters())), round_params(precision="fp16"), 5, 2)
    other.restore(gradient.state())
    assert other.state() == gradient.state() and other.state()["_growth_tracker"] == 2


def test_what_no_scale_helps_is_handed_on():
    """A loss that is not finite, or gradients that overflow by themselves: the guard will name the step."""
    for scale in (float("nan"), 1e30):
        network = Linear()
        loss, [found], _ = gradient_of(network, batch(scale=scale), precision="fp16")
        assert not found.isfinite().all()
        assert len(network.seen) <= 18


def test_dropout_follows_from_the_step_alone():
    """Whatever was drawn before; and nothing that draws later is moved by it."""
    pairs = (states(ROWS)[0], *batch_of_unet())
    network = made().train()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = [g.clone() for g in gradient_of(network, pairs, step=3)[1]]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = [g.clone() for g in gradient_of(network, pairs, step=3)[1]]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert difference(gradient_of(network, pairs, step=4)[1], first) > 0.01


@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_a_process_without_rows_adds_nothing(precision, monkeypatch):
    """Of two, where the other one has the only row: what is added up is what that one found."""
    seen = []
    last = World(rank=0, size=2)
    monkeypatch.setattr(last, "add", lambda tensors: seen.append([tensor.clone() for tensor in tensors]))
    monkeypatch.setattr("reflowbench.training.gradient.world", lambda: last)
    x0, x1, t = batch()
    loss, [gradient], _ = gradient_of(Linear(), (x0[:1], x1[:1], t[:1]), precision=precision)
    assert last.share(1) == slice(0, 0)
    assert [tensor.abs().sum().item() for tensor in seen[0]] == [0, 0] and loss == 0 and not gradient.any()
