"""Lock gate: are the committed results those of the committed code and parameters?

Runs no stage: DVC compares the hashes in dvc.lock with the code, params.yaml and reports/ as they are.
"""

import subprocess
import sys


def main() -> None:
    """Exit with an error that names the stale stages, or say that there are none."""
    command = [sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    stale = [line for line in result.stdout.splitlines() if line.startswith("Running stage")]
    if result.returncode or stale:
        print(result.stderr, *stale, sep="\n", file=sys.stderr)
        sys.exit("ERROR: dvc.lock is older than the code or the parameters; run `make repro` and commit its results")
    print("lock gate: the committed results come from the committed code and parameters")


if __name__ == "__main__":
    main()
