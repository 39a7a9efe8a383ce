"""Lock gate: are the committed results those of the committed code and parameters?

Runs no stage: DVC compares the hashes in the lock files with the code, the parameters and reports/ as they are.
"""

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

from reflowbench.tracking.lock import lock_files

GATED = {"dvc.yaml": "make repro", "controls/dvc.yaml": "make controls", "theory/dvc.yaml": "make theory"}
"""Must be up to date. The first one includes the stages of the rounds, which its evaluations need."""
NOTED = {"ablations/dvc.yaml": "make ablations"}
"""May be older, which is only noted."""


def stale(pipeline: str) -> list[str]:
    """Name the stages that DVC would run; of two that depend on each other it may name the first one only."""
    command = [sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing", "--keep-going", pipeline]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    # Where inputs are missing, as in a fresh clone, DVC fails on a stage that it would run.
    lines = re.findall("^(?:Running stage|ERROR: failed to reproduce).*", result.stdout + result.stderr, re.MULTILINE)
    found = [name for line in lines for name in re.findall("'([^']+)'", line)]
    if result.returncode and not found:
        sys.exit(result.stderr)
    return list(dict.fromkeys(found))


def code_hashes(locks: Iterable[Path]) -> dict[str, str]:
    """Hashes of the code that the stages of lock files depend on, by path."""
    stages = [entry for lock in locks for entry in yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"].values()]
    deps = [dep for stage in stages for dep in stage["deps"] if dep["path"].startswith(("src/", "stages/"))]
    return {dep["path"]: dep["md5"] for dep in deps}


def main() -> None:
    """Exit with an error that names the stale stages, or say that there are none; of other results, only note it."""
    for pipeline, command in GATED.items():
        if names := stale(pipeline):
            print("stale:", *names, sep="\n  ", file=sys.stderr)
            sys.exit(
                f"ERROR: the results of {pipeline} are older than code or parameters; run `{command}` and commit them. "
                "(Where runs/ is of another profile or branch, `make repro` brings it up to date; or gate a new clone)"
            )
    print("lock gate: the committed results come from the committed code and parameters")
    for pipeline, command in NOTED.items():
        if names := stale(pipeline):
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            print(f"note: stale in {pipeline}: {', '.join(names[:3])}{more}; `{command}` brings them up to date")
    current = code_hashes(lock_files())  # of folders; files are hashed here
    for lock in sorted(Path("reports").glob("*/dvc.lock")):
        theirs = code_hashes([lock])
        current |= {path: hashlib.md5(Path(path).read_bytes()).hexdigest() for path in theirs if Path(path).is_file()}
        if moved := sorted(path for path, md5 in theirs.items() if current.get(path) != md5):
            what = f"{', '.join(moved[:3])} and {len(moved) - 3} more" if len(moved) > 3 else ", ".join(moved)
            command = f"reflowbench launch --profile {lock.parent.name}"
            print(f"note: results in {lock.parent} are older than {what}; `{command}` brings them up to date")


if __name__ == "__main__":
    main()
