import pytest
import torch

from reflowbench.errors import ReflowbenchError
from reflowbench.networks import registry
from reflowbench.networks.model import carried, load_facts, load_model, save_model
from reflowbench.runtime.artifacts import write_tensors
from tests.conftest import NETWORK, SHAPE
from tests.networks.made import IMAGE, UNET, made, states


def test_shape_time_dependence_and_one_time_for_all(network):
    x, t = torch.randn(5, 16), torch.full((5,), 0.3)
    assert network(x, t).shape == (5, 16)
    assert torch.allclose(network(x, t), network(x, t[:1]), atol=1e-6)
    assert not torch.allclose(network(x, t), network(x, t + 0.5))


def test_starts_as_the_zero_field():
    assert not registry.build(NETWORK, SHAPE, seed=0)(torch.randn(3, 16), torch.rand(3)).any()


def test_weights_depend_on_the_seed_and_not_on_global_state():
    torch.manual_seed(1)
    first = registry.build(NETWORK, SHAPE, seed=0).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again, other = (registry.build(NETWORK, SHAPE, seed=s).state_dict() for s in (0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["input.weight"], other["input.weight"])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_folder_round_trips(tmp_path, network):
    save_model(tmp_path / "m", network, NETWORK, SHAPE, {"updates": 3}, lambda folder: None)
    loaded, params, shape = load_model(tmp_path / "m")
    x = torch.randn(4, 16)
    assert torch.equal(loaded(x, torch.rand(1, generator=torch.Generator().manual_seed(0))),
                       network(x, torch.rand(1, generator=torch.Generator().manual_seed(0))))  # fmt: skip
    assert (params, shape, load_facts(tmp_path / "m")) == (NETWORK, SHAPE, {"updates": 3})


def test_what_a_round_carries_lies_in_its_model_folder(tmp_path, network):
    """A round that leaves something makes the folder itself; one that leaves nothing makes none."""

    def carry(folder):
        assert not folder.exists()
        folder.mkdir()
        (folder / "potential").write_text("carried")

    save_model(tmp_path / "m", network, NETWORK, SHAPE, {}, carry)
    assert (carried(tmp_path / "m") / "potential").read_text() == "carried"
    save_model(tmp_path / "m", network, NETWORK, SHAPE, {}, lambda folder: None)
    assert carried(tmp_path / "m") is None
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["model.safetensors", "train.json"]


def test_a_carry_that_fails_leaves_no_model(tmp_path, network):
    def carry(folder):
        folder.mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_model(tmp_path / "m", network, NETWORK, SHAPE, {}, carry)
    assert list(tmp_path.iterdir()) == []


MLP = {"network": NETWORK.model_dump(), "shape": list(SHAPE)}


@pytest.mark.parametrize(
    "facts",
    [
        MLP,  # the weights are not its
        MLP | {"shape": [16]},
        MLP | {"shape": None},
        {"network": NETWORK.model_dump()},
        {"shape": [1, 4, 4]},
        MLP | {"network": NETWORK.model_dump() | {"name": "cnn"}},
        MLP | {"network": UNET.model_dump() | {"attention": [64]}},
    ],
)
def test_other_weights_are_refused(tmp_path, facts):
    write_tensors(tmp_path / "model.safetensors", {"a": torch.ones(2)}, facts)
    with pytest.raises(ReflowbenchError, match="model.safetensors: not a velocity network"):
        load_model(tmp_path)


def test_a_unet_round_trips_with_the_shape_of_its_images(tmp_path):
    network, (x, t) = made(), states(3)
    save_model(tmp_path / "m", network, UNET, IMAGE, {}, lambda folder: None)
    loaded, params, shape = load_model(tmp_path / "m")
    assert (params, shape) == (UNET, IMAGE) and not loaded.training
    assert torch.equal(loaded(x, t), network(x, t))
    first = (tmp_path / "m/model.safetensors").read_bytes()
    save_model(tmp_path / "m", loaded, params, shape, {}, lambda folder: None)
    assert (tmp_path / "m/model.safetensors").read_bytes() == first
