"""Profiles: overlays that resolve to whole, checked parameters."""

import shutil
from difflib import unified_diff

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml

from reflowbench import profiles
from reflowbench.couplings.rca import RcaParams
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import registry
from reflowbench.runtime import config
from tests.config.checks import check
from tests.conftest import ROOT


@pytest.mark.parametrize(("profile", "path"), [("digits", "params.yaml"), ("ablations", "ablations/params.yaml")])
def test_committed_params_are_those_of_their_profile(profile, path):
    assert (ROOT / path).read_text() == profiles.render(profiles.resolve(profile, ROOT / "profiles"))


@pytest.mark.parametrize("name", profiles.names(ROOT / "profiles"))
def test_profiles_resolve_and_render_what_they_resolve(name, tmp_path):
    values = profiles.resolve(name, ROOT / "profiles")
    (tmp_path / "params.yaml").write_text(profiles.render(values))
    assert config.read_yaml(tmp_path / "params.yaml") == values == load_yaml(tmp_path / "params.yaml")
    assert values["profile"] == name
    check(values)


def lines_set(tmp_path, text, *overrides):
    """Lines of params.yaml that `dvc exp run -S` removes and adds."""
    path = tmp_path / "params.yaml"
    path.write_text(text)
    apply_overrides(path, list(overrides))
    before, after = text.splitlines(), path.read_text().splitlines()
    changes = list(unified_diff(before, after, n=0, lineterm=""))[2:]
    return [[line[1:] for line in changes if line.startswith(sign)] for sign in "-+"]


@pytest.mark.parametrize("name", profiles.names(ROOT / "profiles"))
def test_parameters_are_written_as_dvc_writes_them(name, tmp_path):
    """So that `dvc exp run -S` changes the lines of what it sets, and no others."""
    values = profiles.resolve(name, ROOT / "profiles")
    text = profiles.render(values)
    assert lines_set(tmp_path, text, f"round.batch={values['round']['batch']}") == [[], []]
    assert (tmp_path / "params.yaml").read_bytes() == text.encode()
    steps = values["base"]["steps"]
    assert lines_set(tmp_path, text, "base.steps=7") == [[f"  steps: {steps}"], ["  steps: 7"]]
    share = values["methods"]["rca"]["real_fraction"]
    removed, added = lines_set(tmp_path, text, "methods.rca.real_fraction=0.25")
    assert (removed, added) == ([f"    real_fraction: {share}"], ["    real_fraction: 0.25"])
    left = values["grid"]["methods"][1:3]
    gone = [f"  - {method}" for method in values["grid"]["methods"] if method not in left]
    assert lines_set(tmp_path, text, f"grid.methods={left}".replace("'", "").replace(" ", "")) == [gone, []]


def test_an_overlay_changes_only_what_it_names(tmp_path):
    shutil.copytree(ROOT / "profiles", tmp_path, dirs_exist_ok=True)
    (tmp_path / "mine.yaml").write_text("extends: digits\nmethods: {ot: {chunk: 7}}\n")
    mine, digits = profiles.resolve("mine", tmp_path), profiles.resolve("digits", tmp_path)
    assert mine["methods"]["ot"].pop("chunk") == 7
    digits["methods"]["ot"].pop("chunk")
    assert mine | {"profile": ""} == digits | {"profile": ""}


@pytest.mark.parametrize("other", ["nope", "defaults", "study", "[digits]", "3"])
def test_a_profile_extends_one_that_extends_none(tmp_path, other):
    shutil.copytree(ROOT / "profiles", tmp_path, dirs_exist_ok=True)
    (tmp_path / "mine.yaml").write_text(f"extends: {other}\n")
    with pytest.raises(ReflowbenchError, match=r"mine.yaml: extends = .*: want another profile, which extends none"):
        profiles.resolve("mine", tmp_path)


def test_the_study_is_the_default_with_more_seeds():
    study, digits = (profiles.resolve(name, ROOT / "profiles") for name in ("study", "digits"))
    assert study["grid"].pop("seeds") == list(range(8)) and digits["grid"].pop("seeds") == [0, 1, 2]
    assert study | {"profile": "digits"} == digits


def test_a_variant_has_of_its_method_what_it_does_not_say(tmp_path):
    """Of the method's block in this profile: a profile's size of things is that of its variants too."""
    shutil.copytree(ROOT / "profiles", tmp_path, dirs_exist_ok=True)
    (tmp_path / "mine.yaml").write_text(
        "grid: {rounds: [1], methods: [ot, rca, rca_real, ot_short]}\n"
        "methods:\n  ot: {chunk: 5}\n  rca_real: {real_fraction: 1.0, method: rca}\n"
        "  ot_short: {method: ot, potential: {steps: 7}}\n"
    )
    mine, digits = profiles.resolve("mine", tmp_path), profiles.resolve("digits", tmp_path)
    rca, ot = digits["methods"]["rca"], digits["methods"]["ot"]
    assert all(next(iter(block)) == "method" for block in mine["methods"].values())
    assert mine["methods"]["rca"] == rca and mine["methods"]["rca_real"] == rca | {"real_fraction": 1.0}
    assert mine["methods"]["ot_short"] == ot | {"chunk": 5, "potential": ot["potential"] | {"steps": 7}}
    assert list(mine["methods"]) == mine["grid"]["methods"], "an entry that the grid does not name has no stages"
    check(mine)
    (tmp_path / "params.yaml").write_text(profiles.render(mine))
    assert registry.load_method_params("rca_real", None, tmp_path / "params.yaml") == RcaParams(
        real_fraction=1.0, **{key: rca[key] for key in ("regenerate_every", "source", "whiten")}
    )


def test_another_kind_of_network_takes_the_place_of_the_defaults(tmp_path):
    shutil.copytree(ROOT / "profiles", tmp_path, dirs_exist_ok=True)
    unet = {"name": "unet", "channels": 8, "multipliers": [1], "blocks": 1, "attention": [], "head_channels": 4}
    unet["dropout"] = 0.0
    for network, expected in ((unet, unet), ({"hidden": 7}, {"name": "mlp", "hidden": 7})):
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"grid": {"rounds": [1]}, "network": network}))
        found = profiles.resolve("mine", tmp_path)["network"]
        assert found.items() >= expected.items() and ("hidden" in found) == (network is not unet)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: 3", "grid = 3: want a mapping"),
        ("grid: {rounds: []}", r"grid.rounds = \[\]: list should have at least 1 item"),
        ("grid: {rounds: 3}", "grid.rounds = 3: input should be a valid list"),
        ("data: {n_images: 5}", "grid.rounds: missing"),
        ("grid: {rounds: [1]}\nround: {step: 5}", "round.step: unknown parameter"),
        ("grid: {rounds: [1], methods: [reflow, rac]}", "grid.methods.1 = 'rac'"),
        ("grid: {rounds: [1]}\nmethods: {rca: {alpha: 5}}", "methods.rca.alpha: unknown parameter"),
        (
            "grid: {rounds: [1]}\nmethods: {rca_real: {}}",
            "methods.rca_real.method: missing; rca_real is no method: name",
        ),
        ("grid: {rounds: [1]}\nmethods: {rca_real: {method: rac}}", "methods.rca_real.method = 'rac': input should be"),
        ("grid: {rounds: [1]}\nmethods: {rca_real: {method: [a]}}", r"methods.rca_real.method = \['a'\]: input should"),
        ("grid: {rounds: [1]}\nmethods: {rca_real: 3}", "methods.rca_real = 3: input should be a valid dictionary"),
        ("grid: {rounds: [1]}\nmethods: {rca: {method: ocar}}", "methods.rca.method = 'ocar': want rca, the method of"),
        ("grid: {rounds: [1]}\nmethods: {a: {method: rca, alpha: 5}}", "methods.a.alpha: unknown parameter"),
        ("grid: {rounds: [1]}\nmethods: {a: {method: rca}}\nchains: {b: {method: a}}", "chains.b.method = 'a': input"),
        ("grid: {rounds: [2, 1]}", "grid = .*: rounds must ascend, without duplicates"),
        ("grid: {rounds: [1]}\nchains: {a: {}}", "chains.a.method = None: input should be a valid string"),
        ("grid: {rounds: [1]}\nchains: {a: {method: b}}", "chains.a.method = 'b': input should be one of"),
        ("grid: {rounds: [1]}\nchains: {a: {method: rca, parms: {}}}", "chains.a.parms: unknown parameter"),
    ],
)
def test_bad_profiles_are_named(tmp_path, text, message):
    shutil.copytree(ROOT / "profiles", tmp_path, dirs_exist_ok=True)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ReflowbenchError, match=f"mine.yaml: {message}"):
        profiles.resolve("mine", tmp_path)


def test_an_unknown_profile_names_those_there_are():
    with pytest.raises(
        ReflowbenchError,
        match="no profile 'digit'.*ablations, celebahq-latent, cifar10, digits, fashion, mnist, study, tiny",
    ):
        profiles.resolve("digit", ROOT / "profiles")


def test_the_ablations_do_not_overwrite_the_pipelines_parameters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ReflowbenchError, match="profile ablations is of the ablations, not for params.yaml: name its file by --out"
    ):
        profiles.write_profile("ablations", ROOT / "profiles")
    assert not (tmp_path / "params.yaml").exists()
