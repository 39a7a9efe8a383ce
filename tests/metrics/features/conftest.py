import socket
import warnings

import pytest
import torch

from tests.metrics.features.made import Graph


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may reach for the network."""

    def connect(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Random weights in both forms, by the name of the form."""
    from torchvision.models import inception_v3

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        torch.jit.script(Graph().eval()).save(folder / "script.bin")
        state = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False).state_dict()
        for name, value in state.items():
            if name.endswith("conv.weight"):  # otherwise 48 layers let nothing through
                value.normal_(0, (2 / value[0].numel()) ** 0.5)
    torch.save(state, folder / "state.bin")
    return {"script": folder / "script.bin", "state": folder / "state.bin"}
