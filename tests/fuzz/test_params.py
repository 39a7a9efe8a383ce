"""Any params.yaml is either accepted, and means what it says, or refused by a message that names the key."""

import copy
import functools
import re

import pytest
import yaml
from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st

from reflowbench import profiles
from reflowbench.errors import ReflowbenchError
from reflowbench.methods import registry
from reflowbench.runtime import config
from tests.conftest import ROOT
from tests.fuzz import trees

LONGEST = 6000
"""Characters of a message: of at most 21 faults, each with a value that is cut."""
OPTIONAL = {"chains": {}, "whiten": True, "clip": True}
OPTIONAL |= dict.fromkeys(("path", "sha256", "components", "microbatch", "ema_std"))
OPTIONAL |= dict.fromkeys(("ema_warmup", "channels_last", "compile"), False)
OPTIONAL |= {"precision": "float32", "lr_end": 0.0, "weight_decay": 0.0, "patch": 1}
OPTIONAL |= {"download": False, "limit_gib": 1, "flip": False, "storage": "float32"}
RELATED = {
    "grid": {"grid", "methods", "chains"},
    "methods": {"grid", "chains"},
    "chains": {"grid", "chains"},
    "round": {"methods", "chains"},
    "pairs": {"chains"},
    "latents": {"base", "data", "pairs", "network", "chains"},
}
"""Where a fault of a group may show, since the two must fit each other."""


@functools.cache
def tree(name):
    """The tiny profile, the digits, and the tiny profile as the ablations."""
    values = profiles.resolve("tiny" if name == "ablations" else name, ROOT / "profiles")
    if name == "ablations":
        plain = {"base": "independent", "params": {}, "round": {}, "pairs": {}}
        chains = {
            "a": {"method": "rca", "params": {"real_fraction": 1.0}},
            "b": {"method": "ocar", "round": {"lr": 0.5}},
        }
        values["chains"] = {chain: plain | own for chain, own in chains.items()}
        values["grid"]["methods"] = ["a", "b"]
    return values


class Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data):
        return True


def dump(values):
    return yaml.dump(values, Dumper=Dumper, sort_keys=False, width=10**6)


def load(path):
    """What `reflowbench check` does."""
    params = config.load_params(path)
    registry.check(params, str(path))
    return params


def outcome(path):
    """The parameters of a file, or the faults that its message names; both checked for what they promise."""
    try:
        params = load(path)
    except ReflowbenchError as error:
        message = str(error)
        assert len(message) < LONGEST and str(path) in message, message[:LONGEST]
        lines = message.splitlines()
        assert all(line.isprintable() for line in lines), message
        return None, [found[1] for line in lines if (found := re.match(rf"{re.escape(str(path))}: ([^\s:=(]+)", line))]
    event("accepted")
    raw = config.read_yaml(path)
    assert same_values(params.model_dump(), raw)
    assert as_dvc_reads(raw, path)
    again = path.with_name("again.yaml")
    again.write_text(profiles.render(params.model_dump()), encoding="utf-8")
    assert load(again) == params
    return params, []


def same_values(typed, raw):
    """Nothing is coerced, but whole numbers to the nearest floats, as YAML's own floats are."""
    if isinstance(typed, dict):
        raw = {key: OPTIONAL[key] for key in typed if key in OPTIONAL} | raw
        return typed.keys() == raw.keys() and all(same_values(typed[key], raw[key]) for key in raw)
    if isinstance(typed, list):
        return isinstance(raw, list) and len(typed) == len(raw) and all(map(same_values, typed, raw))
    if type(typed) is float and type(raw) is int:
        raw = float(raw)
    return typed == raw and type(typed) is type(raw)


def as_dvc_reads(raw, path):
    """DVC hands values of its own reading to stages; where the two differ, ours is text, which means itself."""
    try:
        dvc = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except YAMLFileCorruptedError:
        return True  # then DVC runs nothing

    def same(ours, theirs):
        if isinstance(ours, dict):
            return (
                isinstance(theirs, dict)
                and ours.keys() == theirs.keys()
                and all(map(same, ours.values(), theirs.values()))
            )
        if isinstance(ours, list):
            return isinstance(theirs, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
        return (ours == theirs and type(ours) is type(theirs)) or isinstance(ours, str)

    return same(raw, dvc)


def check_change(folder, name, data):
    path, what, changed = data.draw(trees.changes(tree(name)))
    text = dump(changed)
    snippet = data.draw(
        st.sampled_from(trees.AWKWARD_YAML) | trees.values.map(trees.flow) | trees.plausible(tree(name))
    )
    if what == "rename":
        snippet = data.draw(
            st.sampled_from(["1", "null", "true", "1.5", "~", "[a]", "x", "''", "a b", "é"])
            | trees.texts.map(trees.flow)
        )
    elif what == "double" and trees.HERE in text:
        snippet = path[-1]
    elif what == "add":
        text, snippet = text.replace(trees.HERE, trees.flow(data.draw(trees.texts))), ""
    file = folder / "params.yaml"
    file.write_text(text.replace(trees.HERE, snippet), encoding="utf-8")
    params, named = outcome(file)
    event(f"{what}: {'accepted' if params else 'refused'}")
    if params:
        assert what != "double" or isinstance(path[-1], int), "a key that is there twice"
        return
    dotted = ".".join(map(str, path))
    related = RELATED.get(path[0], ())
    near = [n for n in named if f"{n}.".startswith(f"{dotted}.") or f"{dotted}.".startswith(f"{n}.")]
    parent = ".".join(map(str, path[:-1]))
    if what in ("rename", "add"):  # the name is new
        near += [n for n in named if n.startswith(parent)] + ([] if parent else ["top level"])
    assert near or any(n.split(".")[0] in related for n in named), (dotted, what, snippet[:100], named)


@settings(max_examples=300)
@given(data=st.data())
def test_a_changed_value_is_accepted_as_it_is_or_named(folder, data):
    check_change(folder, "tiny", data)


@settings(max_examples=100)
@given(data=st.data())
def test_a_changed_value_of_the_ablations_is_accepted_as_it_is_or_named(folder, data):
    check_change(folder, "ablations", data)


@pytest.mark.long
@pytest.mark.parametrize("name", ["tiny", "digits", "ablations"])
@settings(max_examples=400)
@given(data=st.data())
def test_many_changed_values(folder, name, data):
    check_change(folder, name, data)


@functools.cache
def valid():
    return dump(tree("tiny")).encode()


pieces = st.sampled_from(
    [b"\n", b" ", b"\t", b":", b": ", b"- ", b"? ", b"[", b"]", b"{", b"}", b",", b"#", b"&a ", b"*a", b"!", b"!!",
    b"|",
     b">", b"'", b'"', b"%", b"@", b"`", b"---\n", b"...\n", b"%YAML 1.1\n", b"%TAG ! x\n", b"<<: ", b"\\", b"\x00",
     b"\xff",
     b"\xc3", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\xe2\x80\xa8", b"0", b"1e", b"."]
)  # fmt: skip


@st.composite
def damaged(draw):
    """Bytes of a file: anything, or a valid file in which bits are turned, or which is cut, or has pieces put in."""
    kind = draw(st.sampled_from(["bytes", "text", "pieces", "bits", "cut", "insert", "remove"]))
    if kind == "bytes":
        return draw(st.binary(max_size=200))
    if kind == "text":
        return draw(st.text(max_size=200)).encode("utf-8", "surrogatepass")
    if kind == "pieces":
        return b"".join(draw(st.lists(pieces | st.sampled_from([b"a", b"grid", b"\n  "]), max_size=60)))
    text = valid()
    at = draw(st.integers(0, len(text) - 1))
    if kind in ("cut", "remove", "insert"):
        rest = {"cut": len(text), "insert": at, "remove": at + draw(st.integers(1, 40))}[kind]
        return text[:at] + (draw(pieces | st.binary(max_size=5)) if kind == "insert" else b"") + text[rest:]
    turned = bytearray(text)
    for _ in range(draw(st.integers(1, 3))):
        turned[at] ^= 1 << draw(st.integers(0, 7))
        at = draw(st.integers(0, len(text) - 1))
    return bytes(turned)


def check_bytes(folder, content):
    file = folder / "params.yaml"
    file.write_bytes(content)
    outcome(file)


@settings(max_examples=600)
@given(content=damaged())
def test_any_bytes_are_accepted_as_they_are_or_refused(folder, content):
    check_bytes(folder, content)


@pytest.mark.long
@settings(max_examples=2000)
@given(content=damaged())
def test_many_bytes(folder, content):
    check_bytes(folder, content)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 100))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "a1.0 (line 2): *a0 stands for what is written elsewhere; write it out here"),
        ("a: &a [*a]", "a.0 (line 1): *a stands for"),
        ("a: &a {b: *a}", "a.b (line 1): *a stands for"),
        ("a: &a {b: 1}\nc: {<<: *a}", "c.<< (line 2): *a stands for"),
        ("a: " + "[" * 100_000, "(line 1): nested more than 32 deep"),
        ("{a: " * 100_000, "(line 1): nested more than 32 deep"),
        ("- " * 100_000, "(line 1): nested more than 32 deep"),
        ("? " * 100_000, "(line 1): nested more than 32 deep"),
        ("round:\n  lr: 1\n  steps: 2\n  lr: 3\n", "round.lr (line 4): given twice, in line 2 too; delete one of them"),
        ("a: 1\na: 1\n", "a (line 2): given twice, in line 1 too"),
        ("a: {1: 2}", "a (line 1): a key here is not text: 1"),
        ("a: {[1]: 2}", "a (line 1): a key here is not text: ?"),
        ("a: !!python/object/apply:os.system [touch x]", "a (line 1): has the tag tag:yaml.org,2002:python/"),
        ("a: [1, 9223372036854775808]", "a.1 (line 1): = 9223372036854775808: want a number between -2^63 and 2^63"),
        ("a: " + "9" * 10_000, "a (line 1): = 99999"),
        ('a: "\\UFFFFFFFF"', "not valid YAML ("),
        ("a: 1\n---\nb: 1\n", "not valid YAML (expected a single document"),
        ("a: \x00", "not valid YAML (unacceptable character"),
        ("1", "want a mapping of parameter groups"),
        ("", "want a mapping of parameter groups"),
        ("!!python/name:os.system", "top level (line 1): has the tag"),
    ],
)  # fmt: skip
def test_what_parameters_do_not_need_of_yaml_is_refused(folder, text, message):
    (folder / "params.yaml").write_text(text)
    with pytest.raises(ReflowbenchError) as error:
        load(folder / "params.yaml")
    assert message in str(error.value) and len(str(error.value)) < LONGEST


@pytest.mark.parametrize(
    ("path", "value"),
    [("round.batch", "010"), ("data.dequantize", "yes"), ("round.steps", "1:30"), ("grid.seeds", "[0x10]")],
)
def test_what_dvc_reads_otherwise_is_not_a_number(folder, path, value):
    """PyYAML reads 8, true, 90; DVC 10 and texts. A seed of 010 would be another in the stage's command."""
    values = copy.deepcopy(tree("tiny"))
    trees.node(values, path.split(".")[:-1])[path.split(".")[-1]] = trees.HERE
    (folder / "params.yaml").write_text(dump(values).replace(trees.HERE, value))
    with pytest.raises(
        ReflowbenchError, match=rf"params.yaml: {re.escape(path)}(\.0)? = '.*': input should be a valid"
    ):
        load(folder / "params.yaml")


def test_files_that_cannot_be_read(folder):
    for name in ("", "missing.yaml", "a\0b", "a" * 5000, "params.yaml/params.yaml"):
        (folder / "params.yaml").write_bytes(b"\xff\xfe")
        with pytest.raises(ReflowbenchError, match="no such file|cannot be read|not valid YAML"):
            load(folder / name)
    with pytest.raises(ReflowbenchError, match=r"params.yaml: not valid YAML \('utf-8' codec"):
        load(folder / "params.yaml")


def test_long_values_are_cut_and_many_faults_counted(folder):
    values = copy.deepcopy(tree("tiny"))
    values["evaluate"]["nfe"] = ["x" * 1000] * 500
    (folder / "params.yaml").write_text(dump(values))
    with pytest.raises(ReflowbenchError) as error:
        load(folder / "params.yaml")
    lines = str(error.value).splitlines()
    assert len(lines) == 21 and lines[-1].endswith(": and 480 more") and max(map(len, lines)) < 400
