"""What a file from somebody else must not be able to reach: no reader in this project runs what it reads."""

import ast

import pytest

from tests.conftest import ROOT

FILES = sorted(path for folder in ("src", "stages", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
FORBIDDEN = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "shelve.open",
    "joblib.load", "dill.load", "cloudpickle.load", "pd.read_pickle", "os.system", "os.popen", "yaml.unsafe_load",
    "yaml.full_load", "yaml.load_all", "tempfile.mktemp",
}  # fmt: skip


def calls(path):
    """Calls of a file: what is called, as text, and its keyword arguments."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}, node


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_call_runs_what_it_reads(path):
    for name, words, node in calls(path):
        assert name not in FORBIDDEN, name
        if name.endswith((".extractall", ".extract", ".unpack_archive")):  # what Git packed; it stays in its folder
            assert words.get("filter") == "'data'", "archives are read in memory"
        assert words.get("shell", "False") == "False" and words.get("allow_pickle", "False") == "False", name
        if name == "torch.load":
            assert words.get("weights_only") == "True", ast.unparse(node)
        if name == "yaml.load":
            assert words["Loader"] == "_Loader", "a subclass of yaml.SafeLoader, see below"


def test_loaders_of_yaml_build_no_objects():
    import yaml

    from reflowbench.runtime import config
    from reflowbench.tracking import lock
    from reflowbench.upkeep import recover

    for loader in (config._Loader, lock._Loader, recover._Loader):
        assert issubclass(loader, yaml.SafeLoader | yaml.CSafeLoader)
        assert not [tag for tag in loader.yaml_constructors if tag and "python" in tag]


def test_the_scan_sees_what_it_forbids(tmp_path):
    bad = tmp_path / "bad.py"
    for text in ("torch.load(p)", "eval(p)", "archive.extractall(p)", "subprocess.run(c, shell=True)", "yaml.load(t)"):
        bad.write_text(text)
        with pytest.raises((AssertionError, KeyError)):
            test_no_call_runs_what_it_reads(bad)
