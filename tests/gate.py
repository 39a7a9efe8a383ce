"""Lock gate: are the committed results those of the committed code and parameters?

Runs no stage: DVC compares the hashes in dvc.lock with the code, params.yaml and reports/ as they are.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import yaml


def code_hashes(lock: str) -> dict[str, str]:
    """Hashes of the code that the stages of a lock file depend on, by path."""
    stages = yaml.safe_load(Path(lock).read_text(encoding="utf-8"))["stages"].values()
    deps = [dep for stage in stages for dep in stage["deps"] if dep["path"].startswith(("src/", "stages/"))]
    return {dep["path"]: dep["md5"] for dep in deps}


def main() -> None:
    """Exit with an error that names the stale stages, or say that there are none; of other results, only note it."""
    for pipeline, target in (("dvc.yaml", "repro"), ("controls/dvc.yaml", "controls"), ("theory/dvc.yaml", "theory")):
        command = [sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing", pipeline]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        stale = [line for line in result.stdout.splitlines() if line.startswith("Running stage")]
        if result.returncode or stale:
            print(result.stderr, *stale, sep="\n", file=sys.stderr)
            lock = Path(pipeline).with_suffix(".lock")
            sys.exit(
                f"ERROR: {lock} is older than code or parameters; run `make {target}` and commit its results. (Where "
                "runs/ is of another profile or branch, `make repro` brings it up to date, or gate a fresh clone)"
            )
    print("lock gate: the committed results come from the committed code and parameters")
    current = code_hashes("dvc.lock")  # of folders; files are hashed here
    others = {"ablations/pipeline.lock": "make ablations"}
    others |= {f"{folder}/dvc.lock": f"profiles/run {folder.name}" for folder in sorted(Path("reports").iterdir())}
    for lock, command in others.items():
        if not Path(lock).exists():
            continue
        theirs = code_hashes(lock)
        current |= {path: hashlib.md5(Path(path).read_bytes()).hexdigest() for path in theirs if Path(path).is_file()}
        if moved := sorted(path for path, md5 in theirs.items() if current.get(path) != md5):
            print(f"note: results in {lock} are older than {', '.join(moved)}; `{command}` brings them up to date")


if __name__ == "__main__":
    main()
