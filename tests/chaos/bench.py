"""The project under fault: a copy on the tiny profile, with stages long enough that faults hit work and not imports."""

import copy
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import yaml

from reflowbench.runtime.artifacts import SCRATCH, content_hash
from tests.pipeline.project import Project

LONG = {
    "data__n_images": None,
    "network__hidden": 128,
    "network__blocks": 2,
    "features__steps": 160,
    "base__steps": 800,
    "round__steps": 500,
    "monitor__every": 100,
    "pairs__n": 20000,  # two shards
    "pairs__steps": 16,
    "methods__rca__regenerate_every": 125,
    "methods__ocar__steps": 5,
    "evaluate__n_samples": 1024,
}
"""Each of the long stages then works for 3 to 6 seconds on one thread, after about 2 of imports."""
SHORT = LONG | {
    "features__steps": 60,
    "base__steps": 400,
    "round__steps": 250,
    "pairs__steps": 8,
    "methods__rca__regenerate_every": 60,
    "evaluate__n_samples": 512,
}
"""About 2 seconds each."""
THEORY = {"theory_gaussian__base__steps": 400, "theory_gaussian__round__steps": 100}
THEORY_PREFIX = "theory/dvc.yaml:"
LOCKS = {"dvc.lock": "", "rounds/1/dvc.lock": "rounds/1/dvc.yaml:", "theory/dvc.lock": THEORY_PREFIX}
"""Lock files, and how the addresses of their stages begin."""
THREADS = {"REFLOWBENCH_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CI": ""}
PATIENCE = 150.0
"""Seconds after which a command counts as hung; it takes a tenth of them."""


class Run:
    """A command that was started, in a session of its own, with all it says in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path):
        self.process, self._log = process, log

    @property
    def text(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> int | None:
        """Its exit status; None if it hangs, when all of it is killed."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill_group()
            return None

    def kill_group(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Bench(Project):
    """The copy, with what an undisturbed run made in it.

    Attributes:
        expected: md5 of each file of each stage's outputs, by stage.
        seconds: What each stage's process took.
    """

    def __init__(self, folder: Path, logs: Path, params: dict[str, object], targets: list[str]):
        super().__init__(folder)
        self.make().with_theory()
        self.set_params(**params)
        self.set_params("theory/params.yaml", **THEORY)
        self.targets, self._logs, self._count = targets, logs, itertools.count()
        logs.mkdir(exist_ok=True)
        self.run("dvc", "repro", *targets)
        self.entries = self.entries_now()
        self.expected = {stage: self.outputs(stage) for stage in self.entries}
        lines = [json.loads(line) for line in self.read(".scratch/durations.jsonl").splitlines()]
        self.seconds: dict[str, float] = {line["stage"]: line["seconds"] for line in lines}

    def copy(self, folder: Path) -> "Bench":
        """A copy of all of it in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = copy.copy(self)
        other.folder = folder
        return other

    def _environment(self) -> dict[str, str]:
        return super()._environment() | THREADS

    def launch(self, *command: str, **environment: str) -> Run:
        """Start a command and do not wait for it."""
        log = self._logs / f"{self.folder.name}-{next(self._count)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment() | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Run(process, log)

    def launch_stage(self, stage: str, **environment: str) -> Run:
        """Start one stage by DVC, so that it computes and takes nothing from the run cache."""
        return self.launch("dvc", "repro", "--no-run-cache", "--single-item", stage, **environment)

    def command(self, stage: str) -> list[str]:
        """What DVC runs for a stage."""
        return shlex.split(self.entries[stage]["cmd"])

    def entries_now(self) -> dict[str, dict]:
        """The entries of all lock files, by the stages' addresses."""
        found = [(file, prefix) for file, prefix in LOCKS.items() if (self.folder / file).exists()]
        return {prefix + name: entry for file, prefix in found for name, entry in self.lock(file).items()}

    def lock_file(self, stage: str) -> Path:
        """The lock file that holds a stage's entry."""
        pipeline = Path(stage.rpartition(":")[0] or "dvc.yaml")
        return self.folder / pipeline.with_suffix(".lock")

    def forget(self, *stages: str) -> None:
        """Take stages out of their lock, as if they had never run; DVC removes their outputs before it runs them."""
        for path in {self.lock_file(stage) for stage in stages}:
            theirs = [stage.rpartition(":")[2] for stage in stages if self.lock_file(stage) == path]
            entries = self.lock(path.relative_to(self.folder).as_posix()) if path.exists() else {}
            kept = {name: entry for name, entry in entries.items() if name not in theirs}
            path.write_text(yaml.safe_dump({"schema": "2.0", "stages": kept}, sort_keys=False))

    def outs(self, stage: str) -> list[str]:
        return [out["path"] for out in self.entries[stage]["outs"]]

    def outputs(self, stage: str) -> dict[str, str | None]:
        """md5 of each file that is in the outputs of a stage now."""
        roots = [self.folder / out for out in self.outs(stage)]
        files = itertools.chain.from_iterable(root.rglob("*") if root.is_dir() else [root] for root in roots)
        return {p.relative_to(self.folder).as_posix(): content_hash(p) for p in sorted(files) if not p.is_dir()}

    def differing(self, stage: str) -> list[str]:
        """Files of a stage that are not, byte for byte, those of the undisturbed run; its entry of dvc.lock too."""
        found, expected = self.outputs(stage), self.expected[stage]
        names = sorted(name for name in found | expected if found.get(name) != expected.get(name))
        return names + ([] if self.entries_now().get(stage) == self.entries[stage] else [f"dvc.lock: {stage}"])

    def processes(self) -> list[psutil.Process]:
        """All that runs in the copy: dvc, stages and their workers."""
        found = psutil.process_iter(["cwd"])
        return [p for p in found if p.info["cwd"] and Path(p.info["cwd"]).is_relative_to(self.folder)]

    def stage_process(self) -> psutil.Process | None:
        """The process of a stage, not one of its workers; None if there is none."""
        for process in self.processes():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if len(words) > 2 and words[1] == "-m" and words[2].startswith("stages."):
                return process
        return None

    def saved(self) -> list[str]:
        """Names of the work that is kept in scratch."""
        folder = self.folder / SCRATCH / "resume"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def left_over(self) -> list[str]:
        """Scratch, half-written drafts and processes, once what is ending has had time to."""
        end = time.monotonic() + 10
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        found = [f"a process: {' '.join(p.cmdline()[:4])}" for p in self.processes()]
        found += [f"scratch: resume/{name}" for name in self.saved()]
        found += [f"scratch: {path.name}" for path in (self.folder / SCRATCH / "temporary").glob("*")]
        for name in ("runs", "reports"):
            found += [f"a draft: {p.relative_to(self.folder)}" for p in (self.folder / name).rglob(".*.tmp")]
        return found

    def recover(self) -> list[str]:
        """What `reflowbench recover`, the first step of `make repro`, brings back to a state that DVC can read."""
        said = self.run("reflowbench", "recover").stdout
        return [line.partition(":")[0] for line in said.splitlines()]
