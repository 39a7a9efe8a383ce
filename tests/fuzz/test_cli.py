"""Any command line ends with a result or a message, never with a traceback; and deletes nothing."""

import argparse
import copy
import importlib
import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st

from reflowbench import cli, profiles
from reflowbench.cost.measure import Throughput
from reflowbench.data.images import ImageSet
from reflowbench.networks import registry
from reflowbench.networks.model import save_model
from reflowbench.runtime import config, stage
from tests.conftest import NETWORK, ROOT, SHAPE

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__")
STARTS = ("drive", "progress", "run_mixture", "sync")
"""Where stages begin their work."""
PATHS = [
    "", ".", "..", "/", "//", "folder", "folder/", "folder/kept", "folder/kept/x", "folder.png", "folder.gif",
    "folder.md",
    "missing", "missing/deeper/x", "text", "binary", "params.yaml", "broken.yaml", "list.yaml", "data.safetensors",
    "model",
    "cut.safetensors", "new.png", "new.gif", "new.md", "new.html", "new.yaml", "new.csv", "~", "a b", "é", "\udcff",
    "\udc80.png",
    "x" * 300, "x/" * 3000, "\x1b[31m", "a\nb", "-", "--", "-x", "%s", "$HOME", "*", "/dev/null/x",
]  # fmt: skip
WORDS = [
    "", "0", "1", "2", "7", "-1", "+1", "1.5", "1e3", "nan", "inf", "-inf", "1e400", "1e-400", "1e308", "1e13",
    "9" * 30,
    "9" * 5000, "\u0661", "\u00b2", "1_0", " 1", "0x10", "tiny", "digits", "ablations", "defaults", "../profiles/tiny",
    "HEAD",
    "HEAD~1", "nope", "@", "HEAD:params.yaml", "--output=x", "euler", "heun", "rk4", "rca", "ocar", "reflow", "ot",
    "independent", "a", "True", "None", "{}", "\x00", "a\x00b",
]  # fmt: skip
SURROGATES = st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
"""How Python names the bytes of an argument that are not UTF-8."""
paths = st.sampled_from(PATHS)
words = st.sampled_from(WORDS) | paths | st.text(st.characters(exclude_categories=["Cs"]) | SURROGATES, max_size=8)


@pytest.fixture
def workspace(folder, monkeypatch):
    """A repository with parameters, data and a model, and what stands in the way of reading and writing."""
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    (folder / "rounds").mkdir()
    shutil.copy(ROOT / "rounds/dvc.yaml.j2", folder / "rounds")
    profiles.write_profile("tiny")
    for name in ("folder", "folder.png", "folder.gif", "folder.md"):
        (folder / name).mkdir()
        (folder / name / "kept").write_text("kept")
    (folder / "text").write_text("text\n")
    (folder / "binary").write_bytes(bytes(range(256)))
    (folder / "broken.yaml").write_text("a: [")
    (folder / "list.yaml").write_text("- 1\n")
    pixels = torch.rand(8, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ImageSet(pixels, torch.arange(8) % 2, (1, 4, 4), levels=17, dequantized=True).save(folder / "data.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "data.safetensors").read_bytes()[:100])
    save_model(folder / "model", registry.build(NETWORK, SHAPE, 0), NETWORK, SHAPE, {"updates": 1}, lambda path: None)
    for command in ("init", "add params.yaml", "-c user.name=x -c user.email=x commit -m x"):
        subprocess.run(["git", *command.split()], check=True, capture_output=True)
    monkeypatch.setattr(sys, "argv", ["x"])
    monkeypatch.setattr(stage.signal, "signal", lambda *_: None)
    return folder


@pytest.fixture
def commands(workspace, monkeypatch):
    """The command line, whose work is not done: networks, stores and the pipeline's state are left alone."""
    done = {
        "reflowbench.gallery.draw.write_grid": None,
        "reflowbench.gallery.draw.write_animation": None,
        "reflowbench.tracking.sync.sync_if_changed": "nothing to do",
        "reflowbench.cost.measure.measure": Throughput(1e9, 1e9),
        "reflowbench.status.stages.read_stages": [],
        "reflowbench.cluster.launch.launch": 0,
        "reflowbench.cluster.launch.dry_run": None,
    }
    for name, value in done.items():
        monkeypatch.setattr(name, lambda *_, value=value: value)
    return workspace


def options(parser):
    return [action for action in parser._actions if not isinstance(action, argparse._SubParsersAction)]


@st.composite
def arguments(draw, parser):
    """A command line with what the parser wants, mostly, and with what it does not."""
    given_ = []
    for action in options(parser):
        if not draw(st.integers(0, 9) if action.required else st.booleans()) or action.dest in ("help", "version"):
            continue
        flag = [draw(st.sampled_from(action.option_strings))] if action.option_strings else []
        fitting = st.sampled_from(list(action.choices)) if action.choices else paths
        value = [] if action.nargs == 0 else [draw(fitting | words)]
        given_ += [f"{flag[0]}={value[0]}"] if flag and value and draw(st.booleans()) else [*flag, *value]
    return draw(st.permutations(given_)) if draw(st.integers(0, 9)) == 0 else given_ + draw(st.lists(words, max_size=1))


def ends_well(run, capsys):
    sys.stderr.reconfigure(errors="backslashreplace")  # as Python's own is
    try:
        run()
    except SystemExit as stop:
        said = capsys.readouterr().err
        if isinstance(stop.code, str):
            assert stop.code.startswith("ERROR: ") or stop.code == "started", stop.code
            event("refused" if stop.code != "started" else "started")
        else:
            assert stop.code == 0 or "error: " in said
            event(f"exit {stop.code}")
    else:
        event("done")
    capsys.readouterr()


def kept(workspace):
    """Nothing that was there is gone: an output that is named like a folder would replace it."""
    for name in ("folder", "folder.png", "folder.gif", "folder.md"):
        assert (workspace / name / "kept").read_text() == "kept", name


def subcommands():
    return cli.parser()._subparsers._group_actions[0].choices


KNOWN = ["profile", "rounds", "check", "track", "sample", "animate", "cost", "status", "compare", "scratch", "verify",
         "recover", "launch"]  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
@settings(max_examples=40)
@given(data=st.data())
def test_any_arguments_of_a_command(commands, capsys, name, data):
    argv = [name, *data.draw(arguments(subcommands()[name]))]
    ends_well(lambda: cli.main(argv), capsys)
    kept(commands)


@settings(max_examples=150)
@given(argv=st.lists(words | st.sampled_from([*KNOWN, "--help", "--version", "--out", "--params"]), max_size=4))
def test_any_words(commands, capsys, argv):
    ends_well(lambda: cli.main(argv), capsys)
    kept(commands)


@pytest.mark.long
@pytest.mark.parametrize("name", KNOWN)
@settings(max_examples=400)
@given(data=st.data())
def test_many_arguments_of_a_command(commands, capsys, name, data):
    argv = [name, *data.draw(arguments(subcommands()[name]))]
    ends_well(lambda: cli.main(argv), capsys)
    kept(commands)


@pytest.mark.parametrize("text", ["nan", "0", "-1", "1e31", "1e400", "x", ""])
def test_a_rate_is_a_number_of_this_world(commands, capsys, text):
    with pytest.raises(SystemExit):
        cli.main(["cost", "--flops", text])
    assert "want a positive number, such as 1e13" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["folder", "folder/", ".", "new/.."])
def test_a_profile_does_not_replace_a_folder(commands, out):
    (commands / "new").mkdir()
    before = sorted(commands.rglob("*"))
    with pytest.raises(SystemExit):
        cli.main(["profile", "tiny", "--out", out])
    assert sorted(commands.rglob("*")) == before


def started(*_, **__):
    sys.exit("started")


@pytest.fixture(params=STAGES)
def script(request, workspace, monkeypatch):
    """A stage's script that stops where its work begins."""
    module = importlib.import_module(f"stages.{request.param}")
    for name in STARTS:
        if hasattr(module, name):
            monkeypatch.setattr(module, name, started)
    config._read.cache_clear()
    return module


@settings(max_examples=40)
@given(data=st.data())
def test_any_arguments_of_a_stage(script, workspace, capsys, data):
    parser = copy.deepcopy(script.PARSER)
    argv = data.draw(arguments(parser)) + data.draw(st.just([]) | paths.map(lambda path: ["--params", path]))
    ends_well(lambda: stage.run_stage(script.main, parser, argv), capsys)
