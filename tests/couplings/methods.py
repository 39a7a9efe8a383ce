"""Every registered method with its default parameters, shrunk to the test's round."""

import torch

from reflowbench.couplings.shared.independent import Independent
from reflowbench.methods import registry
from reflowbench.runtime.config import parse, read_yaml
from tests.conftest import ROOT

DEFAULTS = read_yaml(ROOT / "profiles" / "defaults.yaml")["methods"]
POTENTIAL = {"steps": 30, "batch": 64, "lr": 0.5}
SMALL = {"regenerate_every": 2, "replay": 4, "steps": 2, "potential": POTENTIAL, "source": "raw"}


def params(name, **changes):
    block = DEFAULTS[name]
    small = {key: value for key, value in SMALL.items() if key in block}
    return parse(registry.load(name).params, block | small | changes, f"methods.{name}.")


def make(name, inputs, **changes):
    if name == "independent":
        return Independent(inputs)
    return registry.load(name).coupling(params(name, **changes), inputs)


VARIANTS = {
    "independent": ("independent", {}),
    **{name: (name, {}) for name in registry.names()},
    "rca never": ("rca", {"regenerate_every": 0}),
    "rca whitened": ("rca", {"whiten": "full"}),
    "rca standardized": ("rca", {"whiten": "coordinates"}),
    "rca of real pairs only": ("rca", {"real_fraction": 1.0}),
    "rca_ot semidiscrete": ("rca_ot", {"assignment": "semidiscrete", "real_fraction": 0.5}),
    "rca_ot in chunks": ("rca_ot", {"chunk": 16, "noises": 2}),
    "ot minibatch": ("ot", {"assignment": "minibatch"}),
    "ot dataset": ("ot", {"chunk": 0, "noises": 2}),
    "ot semidiscrete": ("ot", {"assignment": "semidiscrete"}),
    "ocar published": ("ocar", {"replay": 1}),
    "ocar reassigned": ("ocar", {"reassign": True}),
    "ocar_s marginal": ("ocar_s", {"sde": "marginal", "noise_scale": 0.5}),
}


def real_rows(x1, images):
    """Which rows of x1 are real images."""
    return (x1[:, None] == images.images[None]).all(dim=2).any(dim=1)


def image_index(x1, images):
    """Which real image each row is."""
    return (x1[:, None] == images.images[None]).all(dim=2).int().argmax(dim=1)


class Constant(torch.nn.Module):
    """The field v = c, whose inversion is x - c."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.asked = 0

    def forward(self, x, t):
        assert not self.training, "pairs are made in evaluation mode"
        self.asked += len(x)
        return torch.full_like(x, self.c)
