"""Values: what is wrong is named, with what is allowed."""

import pytest

from reflowbench import profiles
from reflowbench.couplings.rca import RcaParams
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import registry
from reflowbench.runtime import config
from reflowbench.runtime.params import (
    BaseParams,
    DataParams,
    EvaluateParams,
    FeaturesParams,
    GridParams,
    MLPParams,
    MonitorParams,
    NetworkParams,
    PairsParams,
    RoundParams,
    UNetParams,
)
from tests.config.checks import check, put

UNET = {"name": "unet", "channels": 8, "multipliers": [1, 2], "blocks": 1, "attention": [4], "head_channels": 4,
        "dropout": 0.1}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "methods.rca.real_fractoin",
            0.5,
            "methods.rca.real_fractoin: unknown parameter; allowed here: real_fraction, regenerate_every, source, "
            "whiten; is it real_fraction?",
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
        (
            "methods.rca",
            {"method": "rca", "real_fraction": 0.5, "regenerate_every": 0, "source": "raw"},
            "methods.rca.whiten: missing",
        ),
        ("methods.rca", 3, "methods.rca = 3: input should be a valid dictionary"),
        ("methods.ot.potential.lr", 0.0, "methods.ot.potential.lr = 0.0: input should be greater than 0"),
        (
            "methods.ot.potential.step",
            5,
            "methods.ot.potential.step: unknown parameter; allowed here: batch, lr, steps",
        ),
        ("methods.reflow.lr", 0.1, "methods.reflow.lr: unknown parameter; allowed here: none"),
        ("methods.ocar.replay", 5, "methods.ocar.replay = 5: must divide round.batch = 256, since that share of the"),
        ("round.batch", 254, "methods.ocar.replay = 4: must divide round.batch = 254, since that share of the batch"),
        (
            "methods.rac",
            {},
            f"methods.rac.method: missing; rac is no method: name one of {', '.join(registry.names())}",
        ),
        (
            "methods.base",
            {"method": "reflow"},
            "methods.base: a chain cannot be named base, conditions, exact, floor,",
        ),
        ("methods.reflow", {}, "methods.reflow.method: missing; want reflow"),
        (
            "methods.rca.method",
            "ocar",
            "methods.rca.method = 'ocar': want rca, the method of that name; give a variant",
        ),
        (
            "methods.rca_fixed",
            {"method": "rac"},
            f"methods.rca_fixed.method = 'rac': input should be one of {', '.join(registry.names())}",
        ),
        ("methods.rca_fixed", {"method": ["rca"]}, "methods.rca_fixed.method = ['rca']: input should be one of accumu"),
        (
            "methods.rca_fixed",
            {"method": "reflow", "weight": 1},
            "methods.rca_fixed.weight: unknown parameter; allowed",
        ),
        ("round.steps", 3.5, "round.steps = 3.5: input should be a valid integer"),
        ("round.steps", True, "round.steps = True: input should be a valid integer"),
        ("round.lr", float("nan"), "round.lr = nan"),
        ("grid.seeds", [], "grid.seeds = []: list should have at least 1 item"),
        ("grid.methods", [], "grid.methods = []: list should have at least 1 item"),
        (
            "grid.methods",
            ["reflow", "rac"],
            "grid.methods.1 = 'rac': input should be one of ['reflow', 'rca', 'ocar', 'ot']",
        ),
        ("grid.seeds", [0, 0], "seeds has a duplicate"),
        ("grid.rounds", {1: 2}, "grid.rounds = {1: 2}: input should be a valid list"),
        ("grid.rounds", [0, 4], "grid.rounds.0 = 0: input should be greater than or equal to 1"),
        ("grid.rounds", [], "grid.rounds = []: list should have at least 1 item"),
        ("grid.rounds", [2, 1, 4], "rounds must ascend, without duplicates"),
        ("grid.rounds", [1, 1, 4], "rounds must ascend, without duplicates"),
        ("grid.rounds", [1, 1001], "want at most 1000 rounds"),
        ("grid.ks", [1], "grid.ks: unknown parameter; allowed here: methods, rounds, seeds"),
        ("data.n_train", 5, "allowed here: dequantize, download, heldout, limit_gib, n_images, path, sha256, source"),
        ("data.n_images", 0, "data.n_images = 0: input should be greater than or equal to 1"),
        ("data.heldout", 0.0, "data.heldout = 0.0: input should be greater than 0"),
        ("data.heldout", 1.0, "data.heldout = 1.0: input should be less than or equal to 0.5"),
        ("data.source", "cifar", "data.source = 'cifar': input should be 'digits', 'mnist5k', 'mnist', 'fashion'"),
        ("data.source", "fashion", "source is fashion: give data.path (a folder, .zip or .tar of its files)"),
        ("data.download", True, "download: only cifar10, mnist, fashion can be fetched, not digits"),
        ("data.heldout", None, "heldout is null, but source digits has no test images of its own: give a share"),
        ("data.limit_gib", 0, "data.limit_gib = 0: input should be greater than or equal to 1"),
        ("pairs.storage", "float8", "pairs.storage = 'float8': input should be 'float32' or 'float16'"),
        ("base.flip", 1, "base.flip = 1: input should be a valid boolean"),
        ("latents.encode", "mode", "latents.encode = 'mode': input should be 'mean' or 'sample'"),
        ("latents.scale", 0.0, "latents.scale = 0.0: input should be greater than 0"),
        ("latents.sha256", "0" * 64, "sha256 without a path: give latents.path"),
        ("base.coupling", "rca", "base.coupling = 'rca': input should be 'independent' or 'ot'"),
        ("base.potential.step", 5, "base.potential.step: unknown parameter; allowed here: batch, lr, steps"),
        ("evaluate.inversion_images", 1, "evaluate.inversion_images = 1: input should be greater than or equal to 2"),
        ("evaluate.nfe", [1, 1], "distinct multiples of 1"),
        ("evaluate.features", [], "evaluate.features = []: list should have at least 1 item"),
        (
            "evaluate.features",
            ["classifier", "fid"],
            "evaluate.features.1 = 'fid': input should be 'classifier', 'pix",
        ),
        ("evaluate.features", ["pixels", "classifier", "pixels"], "named twice"),
        ("evaluate.features", ["inception"], "give evaluate.inception.weights (a file) and its sha256"),
        ("evaluate.inception", {"mode": "clean", "weights": None}, "evaluate.inception.sha256: missing"),
        (
            "evaluate.inception.mode",
            "pytorch",
            "evaluate.inception.mode = 'pytorch': input should be 'clean', 'legacy",
        ),
        ("evaluate.inception.sha256", "abc", "evaluate.inception.sha256 = 'abc': string should match pattern"),
        ("evaluate.inception.sha256", "A" * 64, "string should match pattern"),
        ("evaluate.pca", 0, "evaluate.pca = 0: input should be greater than or equal to 1"),
        ("evaluate.groups", 1, "evaluate.groups = 1: input should be greater than or equal to 2"),
        ("evaluate.neighbours", 0, "evaluate.neighbours = 0: input should be greater than or equal to 1"),
        ("monitor.every", 0, "monitor.every = 0: input should be greater than or equal to 1"),
        ("monitor.n_samples", 1, "monitor.n_samples = 1: input should be greater than or equal to 2"),
        (
            "monitor.solver",
            "heun",
            "monitor.solver: unknown parameter; allowed here: every, grid_images, n_samples",
        ),
        ("evaluate.nfe", [0], "evaluate.nfe.0 = 0: input should be greater than or equal to 1"),
        ("network.hidden", 0, "network.hidden = 0: input should be greater than or equal to 1"),
        ("network.depth", 3, "network.depth: unknown parameter; allowed here: blocks, hidden, name, time_features"),
        ("network.name", "cnn", "network.name = 'cnn': input should be one of 'mlp', 'unet'"),
        ("network.name", 3, "network.name = 3: input should be one of 'mlp', 'unet'"),
        ("network", {"name": "mlp", "hidden": 3, "blocks": 1}, "network.time_features: missing"),
        ("network", {"hidden": 3}, "network.name: missing"),
        ("network", 3, "network = 3: input should be a valid dictionary"),
        ("network", UNET | {"multipliers": []}, "network.multipliers = []: list should have at least 1 item"),
        (
            "network",
            UNET | {"attention": [4, 0]},
            "network.attention.1 = 0: input should be greater than or equal to 1",
        ),
        (
            "network",
            UNET | {"hidden": 3},
            "network.hidden: unknown parameter; allowed here: attention, blocks, channels,",
        ),
        ("round.precision", "fp32", "round.precision = 'fp32': input should be 'float32', 'bf16' or 'fp16'"),
        ("round.ema_std", 0.29, "round.ema_std = 0.29: input should be less than or equal to 0.28"),
        ("round.lr_end", 0.5, "lr_end 0.5 is above lr 0.001"),
        ("round.microbatch", 0, "round.microbatch = 0: input should be greater than or equal to 1"),
        ("networks", {}, "networks: unknown parameter; allowed here: base, chains, data, evaluate"),
        ("profile", "../x", "profile = '../x': string should match pattern"),
        ("profile", "-x", "profile = '-x': string should match pattern"),
    ],
)
def test_bad_values_are_named_with_what_is_allowed(values, path, value, message):
    put(values, path, value)
    with pytest.raises(ReflowbenchError) as error:
        check(values)
    assert message in str(error.value)
    assert str(error.value).startswith("params.yaml: ")
    assert len(str(error.value).splitlines()) == 1


SHA256 = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("weights", "sha256", "features", "good"),
    [
        (None, None, ["classifier", "pixels", "efficientnet"], True),
        ("inception.pth", SHA256, ["classifier", "inception"], True),
        ("inception.pth", SHA256, ["classifier"], True),
        (None, SHA256, ["classifier"], True),
        ("inception.pth", None, ["inception"], False),
        (None, SHA256, ["inception"], False),
        ("", SHA256, ["inception"], False),
        (None, None, ["classifier", "inception"], False),
    ],
)
def test_inception_needs_its_weights_and_their_checksum(values, weights, sha256, features, good):
    """No package ships them, and a distance with other weights would be another one."""
    values["evaluate"] |= {"features": features, "inception": {"mode": "clean", "weights": weights, "sha256": sha256}}
    if good:
        assert check(values).evaluate.features == features
    else:
        with pytest.raises(ReflowbenchError, match="features name inception: give evaluate.inception.weights"):
            check(values)


def test_a_slip_is_named_where_its_parameter_is_missing(values):
    values["methods"]["rca"]["regenerate_evry"] = values["methods"]["rca"].pop("regenerate_every")
    with pytest.raises(ReflowbenchError) as error:
        check(values)
    missing, unknown = sorted(str(error.value).splitlines())
    assert missing == "params.yaml: methods.rca.regenerate_every: missing; is it regenerate_evry, by a slip?"
    assert unknown.endswith("; is it regenerate_every?")


def test_two_laws_of_one_average_are_refused(values):
    values["round"] |= {"ema_std": 0.1, "ema_warmup": True}
    with pytest.raises(ReflowbenchError, match="ema_warmup and ema_std are two laws of the average: give one of them"):
        check(values)


def test_the_kind_of_the_network_decides_what_it_has(values):
    assert type(check(values).network) is MLPParams
    values["network"] = UNET
    assert check(values).network == UNetParams(**UNET)


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
    values["grid"]["rounds"] = [2, 4]
    assert check(values).grid.rounds == [2, 4]


def test_a_method_of_the_grid_needs_its_block(values, tmp_path):
    del values["methods"]["rca"]
    with pytest.raises(ReflowbenchError, match=r"grid.methods.1 = 'rca': input should be one of \['reflow', 'ocar', "):
        check(values)
    (tmp_path / "params.yaml").write_text(profiles.render(values))
    with pytest.raises(
        ReflowbenchError, match=r"params.yaml: methods.rca: missing; `reflowbench profile NAME` writes it"
    ):
        registry.load_method_params("rca", None, tmp_path / "params.yaml")


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
    check(values)
    (tmp_path / "params.yaml").write_text(profiles.render(values))
    loaded = registry.load_method_params("rca", None, tmp_path / "params.yaml").real_fraction
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
        (MonitorParams, "monitor"),
        (PairsParams, "pairs"),
        (EvaluateParams, "evaluate"),
    ]:
        assert config.group_path(kind) == path
        found = type(config.load_group(kind, tmp_path / "params.yaml"))
        assert found is (MLPParams if kind is NetworkParams else kind)
    rca = registry.load_method_params("rca", None, tmp_path / "params.yaml")
    assert type(rca) is RcaParams and {"method": "rca"} | rca.model_dump() == values["methods"]["rca"]


def test_images_are_mirrored_for_the_independent_coupling_alone(values):
    values["base"]["flip"] = True
    assert check(values).base.flip
    values["base"]["coupling"] = "ot"
    with pytest.raises(ReflowbenchError, match="flip: only the coupling independent mirrors images"):
        check(values)


def test_latents_are_of_images_as_they_are_and_are_not_mirrored(values):
    values["latents"] |= {"kind": "pca", "components": 20}
    values["base"]["flip"] = True
    with pytest.raises(ReflowbenchError, match=r"pairs.clip = True: latents (.|\n)*base.flip = True: latents"):
        check(values)
    values["base"]["flip"] = values["pairs"]["clip"] = False
    assert check(values).latents.kind == "pca" and values["data"]["dequantize"]
    autoencoder = {"latents": values["latents"] | {"kind": "autoencoder", "components": None, "path": "vae"}}
    with pytest.raises(ReflowbenchError, match="data.dequantize = True: an autoencoder wants images as they are"):
        check(values | autoencoder)
