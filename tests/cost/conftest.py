import pytest
import torch

from reflowbench.data.images import ImageSet
from reflowbench.networks import registry
from reflowbench.networks.model import save_model
from tests.conftest import NETWORK
from tests.cost.made import Round


@pytest.fixture(scope="package")
def rounds(tmp_path_factory):
    """A base model and real images of 8x8 values, as the stages left them."""
    folder = tmp_path_factory.mktemp("rounds")
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(40, 64, generator=draw) * 2 - 1
    ImageSet(images, torch.arange(40) % 10, (1, 8, 8), levels=17, dequantized=True).save(folder / "train.safetensors")
    network = registry.build(NETWORK, (1, 8, 8), seed=3)
    save_model(folder / "base", network, NETWORK, (1, 8, 8), {}, lambda path: None)
    return Round(folder)
