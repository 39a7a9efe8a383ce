"""Hashes of the tiny run's outputs, committed for each kind of machine.

`python -m tests.pipeline.golden` makes the run and adds the hashes of this machine, or replaces them.
"""

import json
import platform
import tempfile
from pathlib import Path

import torch

from tests.pipeline.project import THREADS, Project

FILE = Path(__file__).with_name("golden.json")
WORDS_AND_PICTURES = {"reports/report.md", "reports/index.html", "reports/figures", "runs/track/receipt.json"}
"""Outputs without numbers of their own."""


def key() -> str:
    """What else the last digits depend on."""
    machine = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return f"{machine}, torch {torch.__version__}, threads {THREADS['REFLOWBENCH_THREADS']}"


def hashes(project: Project) -> dict[str, str]:
    """The md5 of each output that holds numbers, by path."""
    outs = [out for entry in project.lock().values() for out in entry["outs"]]
    return {out["path"]: out["md5"] for out in outs if out["path"] not in WORDS_AND_PICTURES}


def write(project: Project) -> None:
    """Put the hashes of a run of this machine into the file."""
    golden = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    text = json.dumps(golden | {key(): hashes(project)}, indent=2, sort_keys=True)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "project").make()
        project.repro()
        write(project)
    print(f"wrote the hashes of {key()} to {FILE}")
