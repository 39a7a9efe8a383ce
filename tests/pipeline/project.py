"""A copy of the project in a folder of its own, on the tiny profile, driven as a user would."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import yaml

from reflowbench.tracking.lock import lock_files
from tests.conftest import ROOT

COPIED = ("src", "stages", "profiles", "dvc.yaml", "rounds/dvc.yaml.j2", "pyproject.toml", ".dvcignore", ".gitignore")
THREADS = {"REFLOWBENCH_THREADS": "1"}
"""The last digits depend on it."""

TINY_STAGES = [
    "prepare_data",
    "encode",
    "train_features",
    "train_base@0",
    "generate_pairs@reflow-0-1",
    "generate_pairs@rca-0-1",
    "rca_regenerate@rca-0-1",
    "reflow@reflow-0-1",
    "rca@rca-0-1",
    "ocar@ocar-0-1",
    "evaluate_base@0",
    "evaluate@reflow-0-1",
    "evaluate@rca-0-1",
    "evaluate@ocar-0-1",
    "summarize",
    "report",
    "track",
]


def address(stage: str) -> str:
    """What DVC's commands call a stage: those of a round are in a file of their own."""
    of_round = stage.count("-") == 2 and not stage.startswith("evaluate@")
    return f"rounds/{stage.rpartition('-')[2]}/dvc.yaml:{stage}" if of_round else stage


class Project:
    """The copy."""

    def __init__(self, folder: Path):
        self.folder = folder

    def make(self) -> Self:
        """Copy the code into the folder and make it a repository; returns itself."""
        self.copy_code()
        self.run("git", "init", "--quiet")
        self.run("dvc", "init", "--quiet")
        self.run("dvc", "config", "core.analytics", "false")
        shutil.copytree(ROOT / ".dvc/plots", self.folder / ".dvc/plots", dirs_exist_ok=True)
        self.run("reflowbench", "profile", "tiny")
        return self

    def with_theory(self) -> Self:
        """Add the theory's pipeline, at the size of tests; returns itself."""
        (self.folder / "theory").mkdir()
        shutil.copy(ROOT / "theory/dvc.yaml", self.folder / "theory")
        shutil.copy(ROOT / "tests/theory/tiny.yaml", self.folder / "theory/params.yaml")
        return self

    def take(self, other: Self) -> Self:
        """Copy another project into the folder, but for its MLflow, which has absolute paths; returns itself."""
        elsewhere = shutil.ignore_patterns("mlflow.db*", "mlartifacts", "track", "track.json")
        shutil.copytree(other.folder, self.folder, ignore=elsewhere)
        return self

    def copy_code(self) -> None:
        """Copy the code into the folder."""
        (self.folder / "rounds").mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(source, self.folder / name)

    def commit(self, message: str) -> None:
        """Commit all that Git does not ignore, changed or not."""
        self.run("git", "add", "--all")
        identity = ("-c", "user.name=A", "-c", "user.email=a@b")
        self.run("git", *identity, "commit", "--quiet", "--allow-empty", "--message", message)

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy, with the copy's code."""
        env = self._environment() | environment
        result = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        if check and result.returncode:
            raise AssertionError(f"{' '.join(command)} failed\n{result.stdout}\n{result.stderr}")
        return result

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command in the copy and do not wait for it."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment() | environment,
            stdout=pipe,
            stderr=pipe,
            text=True,
            # As at a terminal: where the tests themselves run in the background, Ctrl-C is inherited as ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (no threads here)
        )

    def _environment(self) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_"))}
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        before = [env["PYTHONPATH"]] if env.get("PYTHONPATH") else []
        env["PYTHONPATH"] = os.pathsep.join([str(self.folder / "src"), *before])
        return env | THREADS

    def repro(self, *arguments: str) -> set[str]:
        """Run `dvc repro` and give the stages that ran."""
        return self.stages_that_ran(self.run("dvc", "repro", *arguments).stdout)

    @staticmethod
    def stages_that_ran(output: str) -> set[str]:
        lines = [line for line in output.splitlines() if line.startswith("Running stage")]
        return {line.split("'")[1].rpartition(":")[2] for line in lines}

    def set_params(self, file: str = "params.yaml", /, **changes: object) -> None:
        """Change parameters by dotted path (dots written as two underscores), rewriting their file."""
        path = self.folder / file
        values = yaml.safe_load(path.read_text())
        for dotted, value in changes.items():
            *parents, last = dotted.split("__")
            node = values
            for part in parents:
                node = node[part]
            node[last] = value
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def lock(self, file: str = "") -> dict[str, dict]:
        """The entries of a lock file by stage, or those of the pipeline and its rounds."""
        files = [self.folder / file] if file else lock_files(self.folder)
        return {name: entry for path in files for name, entry in yaml.safe_load(path.read_text())["stages"].items()}

    def locks(self) -> dict[str, bytes]:
        """The lock files of the pipeline and its rounds."""
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in lock_files(self.folder)}

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()
