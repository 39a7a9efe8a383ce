import shutil

import pytest
import yaml

from reflowbench import profiles
from reflowbench.core import config
from reflowbench.core.errors import ReflowbenchError
from reflowbench.core.params import (
    BaseParams,
    DataParams,
    EvaluateParams,
    FeaturesParams,
    GridParams,
    NetworkParams,
    PairsParams,
    RoundParams,
)
from reflowbench.couplings.rca import RcaParams
from reflowbench.couplings.shared import registry
from tests.conftest import ROOT


@pytest.fixture
def values():
    return profiles.resolve("digits", ROOT / "profiles")


@pytest.fixture
def study():
    return profiles.resolve("study", ROOT / "profiles")


def check(values):
    """All checks that `reflowbench check` and the first stage make."""
    params = config.validate(values)
    registry.check(params, "params.yaml")
    return params


def put(values, path, value):
    *parents, last = path.split(".")
    for part in parents:
        values = values[int(part) if part.isdigit() else part]
    values[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "methods.rca.real_fractoin",
            0.5,
            "methods.rca.real_fractoin: unknown parameter; allowed here: real_fraction, regenerate_every, source",
        ),
        (
            "methods.rca.real_fraction",
            1.5,
            "methods.rca.real_fraction = 1.5: input should be less than or equal to 1",
        ),
        (
            "methods.rca.real_fraction",
            "half",
            "methods.rca.real_fraction = 'half': input should be a valid number",
        ),
        ("methods.rca.source", "current", "should be 'round_start', 'raw' or 'ema'"),
        ("methods.rca", {"real_fraction": 0.5, "regenerate_every": 0, "source": "raw"}, "methods.rca.whiten: missing"),
        ("methods.rca", 3, "methods.rca = 3: input should be a valid dictionary"),
        ("methods.ot.potential.lr", 0.0, "methods.ot.potential.lr = 0.0: input should be greater than 0"),
        (
            "methods.ot.potential.step",
            5,
            "methods.ot.potential.step: unknown parameter; allowed here: batch, lr, steps",
        ),
        ("methods.reflow.lr", 0.1, "methods.reflow.lr: unknown parameter; allowed here: none"),
        ("methods.rac", {}, "methods.rac: no such method; there are: accumulate, conic, fresh"),
        ("round.steps", 3.5, "round.steps = 3.5: input should be a valid integer"),
        ("round.steps", True, "round.steps = True: input should be a valid integer"),
        ("round.lr", float("nan"), "round.lr = nan"),
        ("grid.seeds", [], "grid.seeds = []: list should have at least 1 item"),
        ("grid.methods", [], "grid.methods = []: list should have at least 1 item"),
        (
            "grid.methods",
            ["reflow", "rac"],
            "grid.methods.1 = 'rac': input should be one of ['reflow', 'accumulate', 'fresh', 'rca', 'rca_ot'",
        ),
        ("grid.seeds", [0, 0], "seeds has a duplicate"),
        (
            "grid.rounds",
            {1: {"k": 1, "prev": 0}},
            "want a list like [{k: 1, prev: 0}, {k: 2, prev: 1}], not a mapping",
        ),
        ("grid.rounds", [{"k": 1, "prev": 0}, {"k": 3, "prev": 2}], "rounds[1] must be {k: 2, prev: 1}"),
        ("grid.rounds.0.previous", 0, "grid.rounds.0.previous: unknown parameter; allowed here: k, prev"),
        ("grid.ks", [0, 4], "grid.ks.0 = 0: input should be greater than or equal to 1"),
        ("grid.ks", [], "grid.ks = []: list should have at least 1 item"),
        ("grid.ks", [1, 3], "ks must ascend and end with 4, the last round"),
        ("grid.ks", [1, 5], "ks must ascend and end with 4, the last round"),
        ("grid.ks", [2, 1, 4], "ks must ascend and end with 4, the last round"),
        ("grid.ks", [1, 1, 4], "ks must ascend and end with 4, the last round"),
        ("grid.stages", {"reflow": ["reflow"]}, "stages must be {'generate_pairs': ['reflow', 'rca']"),
        ("data.n_train", 5, "data.n_train: unknown parameter; allowed here: dequantize, heldout, n_images, source"),
        ("data.n_images", 0, "data.n_images = 0: input should be greater than or equal to 1"),
        ("data.heldout", 0.0, "data.heldout = 0.0: input should be greater than 0"),
        ("data.heldout", 1.0, "data.heldout = 1.0: input should be less than or equal to 0.5"),
        ("base.coupling", "rca", "base.coupling = 'rca': input should be 'independent' or 'ot'"),
        ("base.potential.step", 5, "base.potential.step: unknown parameter; allowed here: batch, lr, steps"),
        ("evaluate.inversion_images", 1, "evaluate.inversion_images = 1: input should be greater than or equal to 2"),
        ("evaluate.nfe", [1, 1], "distinct multiples of 1"),
        ("evaluate.nfe", [0], "evaluate.nfe.0 = 0: input should be greater than or equal to 1"),
        ("networks", {}, "networks: unknown parameter; allowed here: base, chains, data, evaluate"),
        ("profile", "../x", "profile = '../x': string should match pattern"),
    ],
)
def test_bad_values_are_named_with_what_is_allowed(values, path, value, message):
    put(values, path, value)
    with pytest.raises(ReflowbenchError) as error:
        check(values)
    assert message in str(error.value)
    assert str(error.value).startswith("params.yaml: ")
    assert len(str(error.value).splitlines()) == 1


def test_all_faults_are_reported_at_once(values):
    put(values, "round.lr", -1.0)
    del values["pairs"]
    with pytest.raises(ReflowbenchError, match=r"round.lr = -1.0(.|\n)*pairs: missing"):
        check(values)


def test_all_faults_of_a_method_are_reported_at_once(values):
    values["methods"]["rca"] |= {"real_fraction": 2, "alpha": 3}
    with pytest.raises(ReflowbenchError, match=r"methods.rca.real_fraction = 2(.|\n)*methods.rca.alpha: unknown"):
        check(values)


def test_the_rounds_that_are_evaluated_need_not_be_all(values):
    values["grid"]["ks"] = [2, 4]
    assert check(values).grid.ks == [2, 4]


def test_a_method_of_the_grid_needs_its_block(values):
    del values["methods"]["rca"]
    with pytest.raises(ReflowbenchError, match=r"grid.methods.1 = 'rca': input should be one of \['reflow', 'accum"):
        check(values)
    with pytest.raises(
        ReflowbenchError, match=r"params.yaml: methods.rca: missing; profiles/defaults.yaml holds a block per method"
    ):
        registry.method_params(config.validate(values), "rca", None, "params.yaml")


def test_an_unknown_method_names_those_there_are():
    with pytest.raises(ReflowbenchError, match=r"no method 'rac'; there are: accumulate, .*, reflow"):
        registry.load("rac")


@pytest.mark.parametrize("text", ["1e-05", "1.0e-05", "0.00001", "1E-5", "1.e-5"])
def test_scientific_floats_are_numbers_whichever_writer_wrote_them(values, tmp_path, text):
    params = tmp_path / "params.yaml"
    params.write_text(profiles.render(values).replace("lr: 0.001", f"lr: {text}"))
    assert config.load_group(FeaturesParams, params).lr == 1e-5


def test_a_whole_number_is_a_float_too(values, tmp_path):
    put(values, "methods.rca.real_fraction", 1)
    loaded = registry.method_params(check(values), "rca", None, "params.yaml").real_fraction
    assert loaded == 1.0 and isinstance(loaded, float)


def test_text_that_looks_like_a_number_is_not_one(values):
    put(values, "features.lr", "1e-05")
    with pytest.raises(ReflowbenchError, match="valid number"):
        check(values)


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", ""])
def test_a_file_that_is_no_mapping(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ReflowbenchError, match="params.yaml: "):
        config.load_params(tmp_path / "params.yaml")


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(ReflowbenchError, match="reflowbench profile digits"):
        config.load_params(tmp_path / "params.yaml")


def test_groups_are_found_by_their_class(values, tmp_path):
    (tmp_path / "params.yaml").write_text(profiles.render(values))
    for kind, path in [
        (GridParams, "grid"),
        (DataParams, "data"),
        (FeaturesParams, "features"),
        (NetworkParams, "network"),
        (BaseParams, "base"),
        (RoundParams, "round"),
        (PairsParams, "pairs"),
        (EvaluateParams, "evaluate"),
    ]:
        assert config.group_path(kind) == path
        assert type(config.load_group(kind, tmp_path / "params.yaml")) is kind
    rca = registry.load_method_params("rca", None, tmp_path / "params.yaml")
    assert type(rca) is RcaParams and rca.model_dump() == values["methods"]["rca"]


def test_a_chains_own_values_go_before_the_common_ones(study, tmp_path):
    path = tmp_path / "params.yaml"
    study["chains"]["rca_heun_3"] |= {"round": {"lr": 0.5}, "base": "ot"}
    path.write_text(profiles.render(study))
    assert config.load_group(PairsParams, path, "rca_heun_3").model_dump() == study["pairs"] | {"steps": 3}
    assert config.load_group(RoundParams, path, "rca_heun_3").model_dump() == study["round"] | {"lr": 0.5}
    own = registry.load_method_params("rca", "rca_heun_3", path)
    assert type(own) is RcaParams and own.model_dump() == study["methods"]["rca"] | {"regenerate_every": 0}
    # without a chain, or with one that has nothing of its own, the common values
    for chain in (None, "rca_alpha_100"):
        assert config.load_group(PairsParams, path, chain).model_dump() == study["pairs"]
        assert config.load_group(RoundParams, path, chain).model_dump() == study["round"]
        assert registry.load_method_params("rca", chain, path).model_dump() == study["methods"]["rca"]
    assert config.load_group(EvaluateParams, path, "rca_heun_3").model_dump() == study["evaluate"]


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
        ("chains.rca_ot.round.step", 5, "chains.rca_ot.round.step: unknown parameter; allowed here: batch, clip, ema"),
        ("chains.rca_ot.round.times", "late", "chains.rca_ot.round.times = 'late': input should be 'uniform', 'u_sh"),
        ("chains.rca_ot.pairs.steps", 0, "chains.rca_ot.pairs.steps = 0: input should be greater than or equal to 1"),
        ("chains.rca_ot.pairs.step", 5, "chains.rca_ot.pairs.step: unknown parameter; allowed here: n, solver, steps"),
        ("methods.rca.real_fraction", 1.5, "methods.rca.real_fraction = 1.5: input should be less than or equal to 1"),
        ("grid.methods", ["rca", "rca_ot"], "grid.methods.0 = 'rca': input should be one of ['reflow', 'reflow_u_"),
        ("grid.stages", {"reflow": ["reflow"]}, "grid.stages must be {} for methods ['reflow', "),
    ],
)
def test_faults_of_a_study_are_named_with_what_is_allowed(study, path, value, message):
    check(study)
    put(study, path, value)
    with pytest.raises(ReflowbenchError) as error:
        check(study)
    assert f"params.yaml: {message}" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_chain_cannot_be_read_wrongly(study, tmp_path):
    """The stages of a study read single groups: they name the chain's faults too."""
    path = tmp_path / "params.yaml"
    study["chains"]["rca"] = {"method": "rca", "base": "ot", "params": {}, "round": {}, "pairs": {"steps": 0}}
    path.write_text(profiles.render(study))
    with pytest.raises(ReflowbenchError, match=rf"{path}: chains.rca.pairs.steps = 0: input should be greater"):
        config.load_group(PairsParams, path, "rca")
    with pytest.raises(ReflowbenchError, match=rf"{path}: no chain 'rac' of method 'rca'; there are: reflow"):
        registry.load_method_params("rca", "rac", path)


@pytest.mark.parametrize(("profile", "path"), [("digits", "params.yaml"), ("study", "study/params.yaml")])
def test_committed_params_are_those_of_their_profile(profile, path):
    assert (ROOT / path).read_text() == profiles.render(profiles.resolve(profile, ROOT / "profiles"))


@pytest.mark.parametrize("name", profiles.names(ROOT / "profiles"))
def test_profiles_resolve_and_render_what_they_resolve(name):
    values = profiles.resolve(name, ROOT / "profiles")
    assert yaml.safe_load(profiles.render(values)) == values
    assert values["profile"] == name
    check(values)


def test_a_study_runs_its_chains_in_place_of_methods(study):
    assert study["grid"]["methods"] == list(study["chains"]) and study["grid"]["stages"] == {}
    assert study["grid"]["ks"] == [1, 2, 4] and [r["k"] for r in study["grid"]["rounds"]] == [1, 2, 3, 4]
    assert study["chains"]["rca_from_ot"] == {
        "method": "rca",
        "base": "ot",
        "params": {"regenerate_every": 0},
        "round": {},
        "pairs": {},
    }


def test_an_overlay_changes_only_what_it_names(tmp_path):
    shutil.copytree(ROOT / "profiles", tmp_path, dirs_exist_ok=True)
    (tmp_path / "mine.yaml").write_text(
        "grid: {n_rounds: 4, seeds: [0, 1, 2]}\nmethods: {rca: {real_fraction: 0.25}}\n"
    )
    mine, digits = profiles.resolve("mine", tmp_path), profiles.resolve("digits", tmp_path)
    assert mine["methods"]["rca"].pop("real_fraction") == 0.25
    digits["methods"]["rca"].pop("real_fraction")
    assert mine | {"profile": ""} == digits | {"profile": ""}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: 3", "grid = 3: want a mapping"),
        ("grid: {n_rounds: 0}", "grid.n_rounds = 0: want a positive integer"),
        ("data: {n_images: 5}", "grid.n_rounds = None"),
        ("grid: {n_rounds: 1}\nround: {step: 5}", "round.step: unknown parameter"),
        ("grid: {n_rounds: 1, methods: [reflow, rac]}", "grid.methods.1 = 'rac'"),
        ("grid: {n_rounds: 1}\nmethods: {rca: {alpha: 5}}", "methods.rca.alpha: unknown parameter"),
        ("grid: {n_rounds: 2, ks: [1]}", "grid = .*: ks must ascend and end with 2"),
        ("grid: {n_rounds: 1}\nchains: {a: {}}", "chains.a.method = None: input should be a valid string"),
        ("grid: {n_rounds: 1}\nchains: {a: {method: b}}", "chains.a.method = 'b': input should be one of"),
        ("grid: {n_rounds: 1}\nchains: {a: {method: rca, parms: {}}}", "chains.a.parms: unknown parameter"),
    ],
)
def test_bad_profiles_are_named(tmp_path, text, message):
    shutil.copytree(ROOT / "profiles", tmp_path, dirs_exist_ok=True)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ReflowbenchError, match=f"mine.yaml: {message}"):
        profiles.resolve("mine", tmp_path)


def test_an_unknown_profile_names_those_there_are():
    with pytest.raises(ReflowbenchError, match="no profile 'digit'.*digits, study, tiny"):
        profiles.resolve("digit", ROOT / "profiles")


def test_a_study_does_not_overwrite_the_pipelines_parameters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReflowbenchError, match="profile study is a study, not for params.yaml: name its file by --out"):
        profiles.write_profile("study", ROOT / "profiles")
    assert not (tmp_path / "params.yaml").exists()
