"""The arguments of a launch, and how cores are divided."""

import argparse
import shutil

import pytest

from reflowbench.cli import main, parser
from reflowbench.cluster.command import minutes
from reflowbench.cluster.launch import allot
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("90", 90), ("1:30", 90), ("01:30:00", 90), ("0:00:01", 1), ("8:00:30", 481), ("2-12:00", 3600)],
)
def test_time_limits_are_read_as_slurm_reads_them(text, expected):
    assert minutes(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0:00", "-5", "1:5", "1.5", "soon", "1-", "9999999999", "1:00:00:00"])
def test_what_is_no_time_limit_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="want minutes"):
        minutes(text)


@pytest.mark.parametrize("cores", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("asked", [None, 1, 2, 5, 100])
def test_threads_and_workers_fill_the_cores_and_not_more(cores, asked):
    """What was asked for is kept; what was not follows from it."""
    for workers, each in (allot(asked, None, cores), allot(None, asked, cores)):
        assert workers >= 1 and each >= 1
        assert workers * each <= max(cores, asked or 1)
        assert (workers + 1) * each > cores or workers * (each + 1) > cores, "no more of either would fit"
    assert allot(asked, None, cores)[0] == (asked or cores)
    assert allot(None, asked, cores)[1] == (asked or 1)
    assert allot(3, 7, cores) == (3, 7)


def test_options_of_jobs_are_taken_apart():
    args = parser().parse_args(["launch", "--slurm-arg", "mem=8G", "--slurm-arg=--mail_type=A=B"])
    assert args.slurm_arg == [("mem", "8G"), ("mail-type", "A=B")]


@pytest.mark.parametrize(
    "words",
    [["--slurm-arg", "mem"], ["--slurm-arg", "=8G"], ["--slurm-arg", "a b=c"], ["--slurm-arg", "a=b\nc"],
     ["--workers", "0"], ["--threads", "x"], ["--retry", "-1"]],
)  # fmt: skip
def test_what_is_no_option_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["launch", *words])
    assert stop.value.code == 2 and f"argument {words[0]}" in capsys.readouterr().err


def test_options_of_jobs_without_slurm_are_an_error(project_params):
    with pytest.raises(SystemExit, match=r"ERROR: --partition is about jobs: add --slurm"):
        main(["launch", "--partition", "gpu"])


def test_clones_where_git_would_see_them_are_refused(project_params):
    with pytest.raises(SystemExit, match=r"ERROR: --folder here: choose one in .scratch/ or outside of the checkout"):
        main(["launch", "--folder", "here"])


@pytest.fixture
def project_params(tmp_path, monkeypatch):
    """A folder with valid parameters and the stages of the rounds, but no stages of its own."""
    main(["profile", "tiny", "--out", str(tmp_path / "params.yaml")])
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "rounds").mkdir()
    shutil.copy(ROOT / "rounds/dvc.yaml.j2", tmp_path / "rounds")
    monkeypatch.chdir(tmp_path)
    main(["rounds"])
    return tmp_path
