"""Lock gate: are the committed results those of the committed code and parameters?

Runs no stage: DVC compares the hashes in dvc.lock with the code, params.yaml and reports/ as they are.
"""

import subprocess
import sys


def stale_stages(*targets: str) -> list[str]:
    """Stages that DVC would run, or its error message."""
    command = [sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing", *targets]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    stale = [line for line in result.stdout.splitlines() if line.startswith("Running stage")]
    return stale or [result.stderr] * bool(result.returncode)


def main() -> None:
    """Exit with an error that names the stale stages, or say that there are none; the study's are only noted."""
    stale = stale_stages()
    if stale:
        print(*stale, sep="\n", file=sys.stderr)
        sys.exit("ERROR: dvc.lock is older than the code or the parameters; run `make repro` and commit its results")
    print("lock gate: the committed results come from the committed code and parameters")
    if old := stale_stages("study/dvc.yaml"):
        print(f"note: {len(old)} stages of the study are older than the code; `make study` brings them up to date")


if __name__ == "__main__":
    main()
