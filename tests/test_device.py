"""Where networks are evaluated: the environment says so, and what comes out is where it went in.

There need be no GPU: fake tensors of one know their device, and refuse to be mixed with those of another.
"""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from reflowbench.core.optimizer import Adam
from reflowbench.couplings.shared.base import Networks
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.adaptive import solve_adaptive
from reflowbench.flow.field import Field, device_of
from reflowbench.flow.sde import reverse_sde
from reflowbench.flow.solvers import solve, trajectory
from reflowbench.metrics.straightness import sample_with_geometry
from reflowbench.networks import registry
from reflowbench.runtime import device as devices
from reflowbench.runtime.device import attention, autocast, device
from reflowbench.training.gradient import Gradient
from tests.conftest import NETWORK, SHAPE, round_params
from tests.networks.made import UNET

GPU = torch.device("cuda", 0)
ATTENTION = ("flash", "mem_efficient", "cudnn")
SMALL = UNET.model_copy(update={"attention": [2]})


@pytest.fixture
def two_gpus(monkeypatch):
    """As torch is asked for them; what it is told there is undone."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    yield
    torch.use_deterministic_algorithms(False)
    for kind in ATTENTION:
        getattr(torch.backends.cuda, f"enable_{kind}_sdp")(True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "cuda:0"), ("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")],
)
def test_the_environment_chooses(monkeypatch, two_gpus, value, expected):
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    if value:
        monkeypatch.setenv(devices.VARIABLE, value)
    assert device() == torch.device(expected)
    assert torch.are_deterministic_algorithms_enabled() == (expected != "cpu")
    assert torch.backends.cudnn.benchmark == torch.backends.cudnn.allow_tf32 == (expected == "cpu")
    for kind in ATTENTION:
        assert getattr(torch.backends.cuda, f"{kind}_sdp_enabled")() == (expected == "cpu")


def test_attention_is_fast_where_nobody_wants_its_gradients(two_gpus):
    where = device()

    def fast():
        return [kind for kind in ATTENTION if getattr(torch.backends.cuda, f"{kind}_sdp_enabled")()]

    with torch.enable_grad(), attention(where):
        assert not fast()
    with torch.inference_mode(), attention(where):
        assert fast() == ["flash", "mem_efficient"]
    assert not fast()
    assert not torch.utils.deterministic.fill_uninitialized_memory


def test_without_a_gpu_auto_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(devices.VARIABLE, "auto")
    assert device() == torch.device("cpu") and not torch.are_deterministic_algorithms_enabled()
    monkeypatch.setenv(devices.VARIABLE, "cuda")
    with pytest.raises(
        ReflowbenchError, match="REFLOWBENCH_DEVICE = 'cuda': torch finds 0 CUDA devices here; choose cpu"
    ):
        device()


@pytest.mark.parametrize(
    "value", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1.0", "cpu:0", "mps", "cuda:99999999999"]
)
def test_other_values_are_named(monkeypatch, two_gpus, value):
    monkeypatch.setenv(devices.VARIABLE, value)
    with pytest.raises(ReflowbenchError, match="REFLOWBENCH_DEVICE = .*: want auto, cpu, cuda or cuda:N"):
        device()


def test_a_gpu_that_is_not_there_is_named(monkeypatch, two_gpus):
    monkeypatch.setenv(devices.VARIABLE, "cuda:2")
    with pytest.raises(ReflowbenchError, match="'cuda:2': torch finds 2 CUDA devices"):
        device()


def test_each_process_has_a_gpu_of_its_own_or_none_starts(monkeypatch, two_gpus):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert device() == torch.device("cuda", rank)
    monkeypatch.setenv(devices.VARIABLE, "cuda:1")
    with pytest.raises(ReflowbenchError, match="2 processes on this machine want a GPU each, .*'cuda:1' gives them 1"):
        device()
    monkeypatch.setenv(devices.VARIABLE, "auto")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(ReflowbenchError, match="3 processes on this machine want a GPU each, .*'auto' gives them 2"):
        device()
    monkeypatch.setenv(devices.VARIABLE, "cpu")
    assert device() == torch.device("cpu")


def test_a_field_is_where_its_network_is():
    cpu = torch.device("cpu")
    assert device_of(lambda x, t: x, GPU) == device_of(nn.Identity(), GPU) == GPU
    network = nn.Linear(2, 2, device="meta")
    assert device_of(network, cpu) == device_of(Field(network), cpu) == torch.device("meta")


def test_a_field_is_evaluated_in_evaluation_mode_and_left_as_it_was(network):
    modes = []
    network.register_forward_hook(lambda module, x, value: modes.append(module.training))
    x, t = torch.randn(3, 16), torch.rand(3)
    network.train()
    assert torch.equal(Field(network)(x, t), network.eval()(x, t)) and modes == [False, False]
    network.train()
    Field(network)(x, t)
    assert network.training

    def breaks(module, arguments):
        raise KeyboardInterrupt

    network.register_forward_pre_hook(breaks)
    with pytest.raises(KeyboardInterrupt):
        Field(network)(x, t)
    assert network.training


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_precision_is_that_of_products(precision, dtype):
    """What comes out has the type of the states; the outermost field decides."""
    layer = nn.Linear(4, 4)
    seen = []
    layer.register_forward_hook(lambda module, x, value: seen.append(value.dtype))
    x = torch.randn(3, 4)
    inner = Field(lambda x, t: layer(x), "fp16")
    assert Field(inner, precision)(x, x[:, 0]).dtype == torch.float32
    assert seen == [dtype]
    with autocast(torch.device("cpu"), precision):
        assert layer(x).dtype == dtype


def test_pairs_made_online_have_the_precision_of_training(network):
    networks = Networks(network, network, network, "bf16")
    assert [networks.velocity(source).precision for source in ("raw", "ema", "round_start")] == ["bf16"] * 3


@pytest.fixture(params=["mlp", "unet"])
def on_a_gpu(request):
    """A network on a GPU of fake tensors, and states on the CPU."""
    network = registry.build(NETWORK if request.param == "mlp" else SMALL, SHAPE, seed=0)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in network.modules():
            for name, weight in module._parameters.items():
                if weight is not None:
                    module._parameters[name] = nn.Parameter(torch.empty(weight.shape, device=GPU))
            for name, value in module._buffers.items():
                module._buffers[name] = torch.empty(value.shape, device=GPU)
        yield network, torch.randn(6, 16)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_solutions_come_back_to_where_the_states_were(on_a_gpu, precision):
    network, x = on_a_gpu
    field = Field(network, precision)
    backward = torch.arange(6) > 2
    for solver in ("euler", "heun", "rk4"):
        assert [state.device for state in trajectory(field, x, solver, 2)] == [GPU, GPU]
        assert solve(field, x, solver, 2, backward=backward).device == x.device
    assert {values.device for values in sample_with_geometry(field, x, "euler", 2)} == {x.device}
    noise = reverse_sde(
        field, x, 2, lambda purpose, step: torch.randn(6, 16 if purpose == "noise" else 1), 1, 0.1, "marginal"
    )
    assert noise.device == x.device
    assert field(x, torch.rand(6)).device == x.device and field(x, torch.rand(1)).shape == x.shape


def test_an_adaptive_solver_keeps_its_states_where_they_were():
    """Many at a time: only what the network is given goes to its device."""
    seen = []

    class Doubled(Field):
        def __call__(self, x, t):
            seen.append((x.device.type, x.shape, t.shape))
            return super().__call__(x, t)

    end, _ = solve_adaptive(Doubled(lambda x, t: -x), torch.ones(5, 2), 1e-3)
    assert set(seen) == {("cpu", (5, 2), (1,))} and end.device.type == "cpu"


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16", "microbatch": 4}])
def test_training_takes_batches_to_the_network(on_a_gpu, changes, monkeypatch):
    """All but what only a real GPU can do: the backward pass, and reading the loss."""
    network, x = on_a_gpu
    optimizer = Adam(list(network.parameters()), 0.1)
    gradient = Gradient(network, optimizer, round_params(**changes), seed=0, round_=1)
    gradient._draws = False  # there is no generator of a GPU
    losses = []
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: losses.append(loss))  # noqa: PLW0108 (a method)
    with pytest.raises(DataDependentOutputException):
        gradient(x, torch.randn(6, 16), torch.rand(6), 0)
    assert [loss.device for loss in losses] == [GPU] * (2 if changes else 1)
    assert {tensor.device for tensor in optimizer.state().values()} == {GPU}
