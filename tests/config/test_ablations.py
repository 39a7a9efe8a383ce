"""Chains of the ablations: their own values go before the common ones, and are checked as those are."""

import pytest

from reflowbench import profiles
from reflowbench.couplings.rca import RcaParams
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import registry
from reflowbench.runtime import config
from reflowbench.runtime.params import EvaluateParams, PairsParams, RoundParams
from tests.config.checks import check, put


def is_read(kind, path, chain, values):
    """Whether a group has these values, and defaults where they have none."""
    return config.load_group(kind, path, chain) == kind.model_validate(values)


def test_a_chains_own_values_go_before_the_common_ones(ablations, tmp_path):
    path = tmp_path / "params.yaml"
    ablations["chains"]["rca_heun_3"] |= {"round": {"lr": 0.5}, "base": "ot"}
    path.write_text(profiles.render(ablations))
    assert is_read(PairsParams, path, "rca_heun_3", ablations["pairs"] | {"steps": 3})
    assert is_read(RoundParams, path, "rca_heun_3", ablations["round"] | {"lr": 0.5})
    own = registry.load_method_params("rca", "rca_heun_3", path)
    common = {key: value for key, value in ablations["methods"]["rca"].items() if key != "method"}
    assert type(own) is RcaParams and own.model_dump() == common | {"regenerate_every": 0}
    # without a chain, or with one that has nothing of its own, the common values
    for chain in (None, "rca_alpha_100"):
        assert is_read(PairsParams, path, chain, ablations["pairs"])
        assert is_read(RoundParams, path, chain, ablations["round"])
        assert registry.load_method_params("rca", chain, path).model_dump() == common
    assert is_read(EvaluateParams, path, "rca_heun_3", ablations["evaluate"])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("chains.rca_ot.method", "rac", "chains.rca_ot.method = 'rac': input should be one of ['reflow', 'accumulate'"),
        ("chains.rca_ot.base", "rca", "chains.rca_ot.base = 'rca': input should be 'independent' or 'ot'"),
        ("chains.rca_ot.rounds", {}, "chains.rca_ot.rounds: unknown parameter; allowed here: base, method, pairs"),
        ("chains.rca_ot", {"method": "rca", "base": "ot", "params": {}, "round": {}}, "chains.rca_ot.pairs: missing"),
        (
            "chains.Rca",
            {"method": "rca", "base": "ot", "params": {}, "round": {}, "pairs": {}},
            "chains.Rca.[key] = 'Rca': string should match pattern",
        ),
        (
            "chains.rca_ot.params.lambda",
            0.5,
            "chains.rca_ot.params.lambda: unknown parameter; allowed here: assignment",
        ),
        ("chains.rca_ot.params.real_fraction", 1.5, "chains.rca_ot.params.real_fraction = 1.5: input should be less"),
        ("chains.ocar.params.replay", 5, "chains.ocar.params.replay = 5: must divide round.batch = 256, since that"),
        ("chains.ocar_replay_16.round.batch", 24, "chains.ocar_replay_16.params.replay = 16: must divide round.batch"),
        (
            "chains.ocar_s_marginal.params.replay",
            5,
            "chains.ocar_s_marginal.params.replay = 5: must divide round.batch",
        ),
        ("chains.ocar.round.batch", "256", "chains.ocar.round.batch = '256': input should be a valid integer"),
        ("chains.rca_ot.round.step", 5, "chains.rca_ot.round.step: unknown parameter; allowed here: batch, clip, ema"),
        ("chains.rca_ot.round.times", "late", "chains.rca_ot.round.times = 'late': input should be 'uniform', 'u_sh"),
        ("chains.rca_ot.pairs.steps", 0, "chains.rca_ot.pairs.steps = 0: input should be greater than or equal to 1"),
        (
            "chains.rca_ot.pairs.step",
            5,
            "chains.rca_ot.pairs.step: unknown parameter; allowed here: clip, n, precision, sol",
        ),
        ("methods.rca.real_fraction", 1.5, "methods.rca.real_fraction = 1.5: input should be less than or equal to 1"),
        ("grid.methods", ["rca", "rca_ot"], "grid.methods.0 = 'rca': input should be one of ['reflow', 'reflow_u_"),
    ],
)
def test_faults_of_the_ablations_are_named_with_what_is_allowed(ablations, path, value, message):
    check(ablations)
    put(ablations, path, value)
    with pytest.raises(ReflowbenchError) as error:
        check(ablations)
    assert f"params.yaml: {message}" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_chain_cannot_be_read_wrongly(ablations, tmp_path):
    """The stages of the ablations read single groups: they name the chain's faults too."""
    path = tmp_path / "params.yaml"
    ablations["chains"]["rca"] = {"method": "rca", "base": "ot", "params": {}, "round": {}, "pairs": {"steps": 0}}
    path.write_text(profiles.render(ablations))
    with pytest.raises(ReflowbenchError, match=rf"{path}: chains.rca.pairs.steps = 0: input should be greater"):
        config.load_group(PairsParams, path, "rca")
    with pytest.raises(ReflowbenchError, match=rf"{path}: no chain 'rac'; there are: reflow"):
        registry.load_method_params("rca", "rac", path)


def test_ablations_run_their_chains_in_place_of_methods(ablations):
    assert ablations["grid"]["methods"] == list(ablations["chains"]) and ablations["grid"]["rounds"] == [1, 2, 4]
    assert {chain["method"] for chain in ablations["chains"].values()} <= ablations["methods"].keys()
    assert ablations["chains"]["rca_from_ot"] == {
        "method": "rca",
        "base": "ot",
        "params": {"regenerate_every": 0},
        "round": {},
        "pairs": {},
    }
