"""python -m benchmarks [NAME ...]: run benchmarks one after the other, each in a process of its own.

Results go to benchmarks/results.json, and from there to the tables of docs/performance.md. One that fails leaves its
last results as they are, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.clones import ROOT
from benchmarks.tables import PAGE, RESULTS, render
from reflowbench import git
from reflowbench.runtime.stage import set_threads
from reflowbench.runtime.start import LIBRARIES, threads

ON_GPU = ("gpu.peers", "gpu.levers")
"""Those that run where there is a GPU alone."""
NAMES = (
    "peers.before", "peers.start", "peers.pairs", "peers.training", "peers.reflow", "peers.online", "peers.frechet",
    "peers.evaluation", "peers.store", "levers", "parts", "scaling", "whole", "cores", *ON_GPU,
)  # fmt: skip


def main() -> None:
    """Run what is named, or all that this machine can; keep the results of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--turns", type=int, default=5, help="repetitions (default: %(default)s)")
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--commit", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(_run(args.one, args.turns, args.commit)))
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    commit, failed = _commit(), []  # before this writes anything
    for name in args.names or _possible():
        print(f"{name} ...", file=sys.stderr, flush=True)
        options = ["--one", name, "--turns", str(args.turns), "--commit", commit]
        made = subprocess.run(
            [sys.executable, "-m", "benchmarks", *options],
            env=_environment(),
            stdout=subprocess.PIPE,
            check=False,
            text=True,
        )
        if made.returncode:
            failed.append(name)
            continue
        results[name] = json.loads(made.stdout.splitlines()[-1])
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        PAGE.write_text(render(PAGE.read_text(), results))
        for row in results[name]["rows"]:
            if "ratio" in row:
                low, middle, high = (row["ratio"][key] for key in ("min", "median", "max"))
                print(f"{middle:8.2f} ({low:.2f} to {high:.2f})  {row['what']} | {row['peer']}  {row['facts'] or ''}")
            else:
                print(json.dumps(row))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _possible() -> list[str]:
    import torch

    return [name for name in NAMES if name not in ON_GPU or torch.cuda.is_available()]


def _commit() -> str:
    return git.line("describe", "--always", "--dirty", folder=ROOT) or "unknown"


def _environment() -> dict[str, str]:
    """With as many threads in NumPy's libraries, and in processes that a benchmark starts, as in torch."""
    count = threads()
    return os.environ | (dict.fromkeys(LIBRARIES, str(count)) if count else {})


def _run(name: str, turns: int, commit: str) -> dict[str, object]:
    set_threads()
    import torch

    module = importlib.import_module(f"benchmarks.{name}")
    if hasattr(module, "THREADS"):
        torch.set_num_threads(module.THREADS)
    found = [row if isinstance(row, dict) else row.written() for row in module.rows(turns)]
    about = {
        "processor": torch.cuda.get_device_name() if name in ON_GPU else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    return {"machine": about, "rows": found}


def _processor() -> str:
    """Its name, and those instructions that decide how fast products in half precision are."""
    file = Path("/proc/cpuinfo")
    lines = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line) if file.exists() else {}
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in facts.get("flags", "").split()]
    return f"{facts.get('model name', platform.processor())} ({', '.join(flags) or 'no vector instructions known'})"


if __name__ == "__main__":
    main()
