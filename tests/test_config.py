import shutil

import pytest
import yaml

from reflowbench import profiles
from reflowbench.core import config
from reflowbench.core.errors import ReflowbenchError
from tests.conftest import ROOT


@pytest.fixture
def values():
    return profiles.resolve("digits", ROOT / "profiles")


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
            "methods.rca.real_fractoin: unknown parameter; allowed here: real_fraction",
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
        ("round.steps", 3.5, "round.steps = 3.5: input should be a valid integer"),
        ("round.steps", True, "round.steps = True: input should be a valid integer"),
        ("round.lr", float("nan"), "round.lr = nan"),
        ("grid.seeds", [], "grid.seeds = []: list should have at least 1 item"),
        ("grid.methods", [], "grid.methods = []: list should have at least 1 item"),
        (
            "grid.methods",
            ["reflow", "rac"],
            "grid.methods.1 = 'rac': input should be 'reflow', 'rca' or 'ocar'",
        ),
        ("grid.seeds", [0, 0], "seeds has a duplicate"),
        (
            "grid.rounds",
            {1: {"k": 1, "prev": 0}},
            "want a list like [{k: 1, prev: 0}, {k: 2, prev: 1}], not a mapping",
        ),
        ("grid.rounds", [{"k": 1, "prev": 0}, {"k": 3, "prev": 2}], "rounds[1] must be {k: 2, prev: 1}"),
        ("grid.rounds.0.previous", 0, "grid.rounds.0.previous: unknown parameter; allowed here: k, prev"),
        ("grid.ks", [0, 1], "ks must be [0, 1, 2, 3, 4]"),
        ("grid.stages", {"reflow": ["reflow"]}, "stages must be {'generate_pairs': ['reflow', 'rca']"),
        ("evaluate.nfe", [1, 1], "distinct multiples of 1"),
        ("evaluate.nfe", [0], "evaluate.nfe.0 = 0: input should be greater than or equal to 1"),
        ("networks", {}, "networks: unknown parameter; allowed here: base, data, evaluate"),
        ("profile", "../x", "profile = '../x': string should match pattern"),
    ],
)
def test_bad_values_are_named_with_what_is_allowed(values, path, value, message):
    put(values, path, value)
    with pytest.raises(ReflowbenchError) as error:
        config.validate(values)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_all_faults_are_reported_at_once(values):
    put(values, "round.lr", -1.0)
    del values["pairs"]
    with pytest.raises(ReflowbenchError, match=r"round.lr = -1.0(.|\n)*pairs: missing"):
        config.validate(values)


@pytest.mark.parametrize("text", ["1e-05", "1.0e-05", "0.00001", "1E-5", "1.e-5"])
def test_scientific_floats_are_numbers_whichever_writer_wrote_them(values, tmp_path, text):
    params = tmp_path / "params.yaml"
    params.write_text(profiles.render(values).replace("lr: 0.001", f"lr: {text}"))
    assert config.load_group(config.FeaturesParams, params).lr == 1e-5


def test_a_whole_number_is_a_float_too(values, tmp_path):
    put(values, "methods.rca.real_fraction", 1)
    loaded = config.validate(values).methods.rca.real_fraction
    assert loaded == 1.0 and isinstance(loaded, float)


def test_text_that_looks_like_a_number_is_not_one(values):
    put(values, "features.lr", "1e-05")
    with pytest.raises(ReflowbenchError, match="valid number"):
        config.validate(values)


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
        (config.PairsParams, "pairs"),
        (config.RcaParams, "methods.rca"),
        (config.RoundParams, "round"),
    ]:
        assert config.group_path(kind) == path
        assert type(config.load_group(kind, tmp_path / "params.yaml")) is kind


def test_committed_params_are_the_digits_profile():
    assert (ROOT / "params.yaml").read_text() == profiles.render(profiles.resolve("digits", ROOT / "profiles"))


@pytest.mark.parametrize("name", profiles.names(ROOT / "profiles"))
def test_profiles_resolve_and_render_what_they_resolve(name):
    values = profiles.resolve(name, ROOT / "profiles")
    assert yaml.safe_load(profiles.render(values)) == values
    assert values["profile"] == name


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
        ("data: {n_train: 5}", "grid.n_rounds = None"),
        ("grid: {n_rounds: 1}\nround: {step: 5}", "round.step: unknown parameter"),
        ("grid: {n_rounds: 1, methods: [reflow, rac]}", "grid.methods.1 = 'rac'"),
    ],
)
def test_bad_profiles_are_named(tmp_path, text, message):
    shutil.copytree(ROOT / "profiles", tmp_path, dirs_exist_ok=True)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ReflowbenchError, match=f"mine.yaml: {message}"):
        profiles.resolve("mine", tmp_path)


def test_an_unknown_profile_names_those_there_are():
    with pytest.raises(ReflowbenchError, match="no profile 'digit'.*digits, tiny"):
        profiles.resolve("digit", ROOT / "profiles")
