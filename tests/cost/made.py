"""Rounds of any method in one process, by the stages' own scripts."""

import argparse
import contextlib
import io
import itertools

import yaml

from reflowbench import profiles
from reflowbench.methods import registry
from reflowbench.networks.model import load_facts
from reflowbench.runtime.config import validate
from stages import generate_pairs, rca_regenerate, train_round
from tests.conftest import NETWORK, ROOT
from tests.couplings.methods import params as own

N_IMAGES = 40
_numbers = itertools.count()


def params_of(method, round_=None, pairs=None, **block):
    """Parameters of a small run of one method: the tiny profile's, with changes."""
    values = profiles.resolve("tiny", ROOT / "profiles")
    values["grid"]["methods"] = [method]
    values["methods"] = {method: {"method": method, **own(method).model_dump(), **block}}
    values["network"] = NETWORK.model_dump()
    values["pairs"] |= {"n": 70, "steps": 2} | (pairs or {})
    values["round"] |= {"steps": 11, "batch": 24} | (round_ or {})
    params = validate(values)
    registry.check(params, "params.yaml")
    return params


class Round:
    """The first round of a chain."""

    def __init__(self, folder):
        self._folder = folder

    def facts(self, params):
        """What train_round records of the cost of a round."""
        [name] = params.grid.methods
        folder = self._folder / str(next(_numbers))
        folder.mkdir()
        (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump()))
        common = {
            "params": folder / "params.yaml",
            "chain": None,
            "coupling": None,
            "method": name,
            "seed": 0,
            "round": 1,
            "data": self._folder / "train.safetensors",
            "model": self._folder / "base",
            "start": self._folder / "base",
            "synthetic": None,
            "inverted": None,
            "plots": None,
        }
        with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()):
            for kind, stage in (("synthetic", generate_pairs), ("inverted", rca_regenerate)):
                if kind in registry.load(name).stored:
                    stage.main(argparse.Namespace(**common | {"out": folder / kind}))
                    common[kind] = folder / kind
            train_round.main(argparse.Namespace(**common | {"out": folder / "model"}))
        return load_facts(folder / "model")
