"""Changes to trees as files hold them: any node, at any depth, by anything that can be written."""

import copy

import yaml
from hypothesis import strategies as st

HERE = "PLACEHOLDER"
AWKWARD_TEXT = [
    "", " ", "\n", "a\nb", "\t", "\r", "\x1b[31m", "\x00", "\x7f", "\x85", "\u2028", "é", "数", "😀", "\ud800",
    "${PATH}", "${evaluate.nfe}", "$(touch x)", "; rm -rf x", "`x`", "'", '"', "<script>", "../x", "/etc/passwd",
    "-x", "--out",
    "a b", "a" * 300, "yes", "no", "null", "~", "1", "1e-05", "nan", "%s", "{0}", "#", ": ", "- ", "&a", "*a",
    "!!int 1",
]  # fmt: skip
AWKWARD_YAML = [
    "", "~", "null", "true", "yes", "off", "y", "0", "-1", "1", "2", "010", "08", "0o17", "0x1F", "0b1", "1_000", "_1",
    "1:30", "190:20:30.5", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "9" * 400, "9" * 5000,
    "0x" + "f" * 5000, "1.0", "1.", ".5", "+.5", "-0.0", "1e3", "1E-5", "1e999", "5e-324", "0.1_0", ".inf",
    "-.Inf", ".nan", ".", "=", "<<", "2020-01-01", "2001-12-14t21:59:43.10-05:00", "[]", "{}", "[[]]", "[1]", "[1, 1]",
    "[null]",
    "[a, [b]]", "{a: 1}", "{a: 1, a: 2}", "{1: a}", "{null: a}", "{true: a}", "{[a]: b}", "{{a: b}: c}", "{? a}",
    "{<<: {a: 1}}",
    "&x 1", "&x [*x]", "&x {a: *x}", "[&x 1, *x]", "*x", "!!str 5", "!!int '5'", "!!int x", "!!float x", "!!bool x",
    "!!null x", "!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]", "!!timestamp 1", "!x 1", "! 1",
    "!!python/object/apply:os.system ['touch x']", "!!python/name:os.system ''", "!!python/tuple [1, 2]", "'a'", '"a"',
    '"a\\nb"', '"\\0"', '"\\x1b[0m"', '"\\ud800"', '"\\U0001F600"', "'${PATH}'", "a" * 3000, "[" * 40 + "]" * 40,
    "{a: " * 40 + "1" + "}" * 40, "[" + "0, " * 300 + "0]", "[1, 2, 4]", "[4, 1]", "[reflow]", "heun",
]  # fmt: skip
"""Values in flow style, which fit wherever a value stands."""

texts = st.sampled_from(AWKWARD_TEXT) | st.text(max_size=20)
numbers = (
    st.integers()
    | st.integers(-2, 300)
    | st.floats()
    | st.sampled_from([0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 0.5, 1e308])
)
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)


def flow(value):
    """YAML of a value on one line. Not every text can be written without escapes, so all are quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in value) + '"'
    return yaml.safe_dump(value, width=10**6).removesuffix("...\n").strip()


def plausible(tree):
    """Values like those that stand elsewhere, which are often accepted."""
    found = [flow(node(tree, path)) for path in paths(tree)]
    return st.sampled_from(found) | st.integers(1, 300).map(str) | st.floats(0, 1).map(flow)


def paths(tree, prefix=()):
    """Every node but the root."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield (*prefix, key)
        yield from paths(value, (*prefix, key))


def node(tree, path):
    for key in path:
        tree = tree[key]
    return tree


@st.composite
def changes(draw, tree):
    """A changed copy of a tree: replaced, deleted, doubled, renamed or added.

    Returns:
        The path that was changed, as far as the original has it; what was done; the new tree.
    """
    tree = copy.deepcopy(tree)
    path = draw(st.sampled_from(list(paths(tree))))
    parent, key = node(tree, path[:-1]), path[-1]
    what = draw(st.sampled_from(["replace", "replace", "replace", "delete", "add", "rename", "double"]))
    if what == "replace":
        parent[key] = HERE
    elif what == "delete":
        del parent[key]
    elif isinstance(parent, list):
        what = "double"
        parent.insert(key, copy.deepcopy(parent[key]))
    elif what == "add":
        parent[HERE] = 1
    else:
        parent[HERE] = copy.deepcopy(parent[key]) if what == "double" else parent.pop(key)
    return path, what, tree
