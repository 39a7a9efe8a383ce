"""A task as a job of SLURM: runs a command and tells its exit status in a file.

`python -m reflowbench.cluster.job --log FILE --status FILE COMMAND ...`. SLURM sends SIGTERM to every process of a job,
before its time is up too. `dvc` ends at once then, its stage saves what it has done; the job must not end before, as
SLURM would kill what is left of it. The status is text, so that the launcher reads none of the pickles of submitit.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from reflowbench.cluster.processes import members
from reflowbench.runtime.artifacts import write_text

_POLL = 0.2


def main() -> None:
    """Run the command line."""
    import psutil

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True, help="what the command says is appended to it")
    parser.add_argument("--status", type=Path, required=True, help="gets the exit status, once all has ended")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which the command would inherit
    with args.log.open("ab") as log:
        process = subprocess.Popen(args.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    code = process.wait()
    above = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    while members(os.getpgrp()) - above:  # a stage that outlives its dvc
        time.sleep(_POLL)
    code = code if code >= 0 else 128 - code
    write_text(args.status, f"{code}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
