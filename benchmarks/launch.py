"""One stage after the other against chains side by side: wall time of both, and whether all outputs are the same.

    python -m benchmarks.launch                   # params.yaml as it is, all cores, one thread each
    python -m benchmarks.launch --profile tiny --workers 2

Each runs in a clone of the last commit with an empty cache, `dvc repro` and `reflowbench launch`, at the same number of
threads. The times include what either costs: clones, starts of DVC, bringing stages back from the cache.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.clones import cold, differing, launched, timed
from reflowbench.runtime.distributed import cores


def main(args: argparse.Namespace) -> None:
    """Run both and print a row each."""
    base = Path(tempfile.mkdtemp(prefix="launch-", dir=args.folder))
    serial, folder = (cold(base / name, args.profile) for name in ("serial", "launched"))
    tasks, finish = launched(folder, args.workers, args.threads)
    alone = timed(serial, args.threads, "dvc", "repro")
    differ, count = differing(folder, serial)
    print(f"| {count} stages, {args.threads} threads each | seconds |\n| --- | --: |")
    print(f"| `dvc repro` | {alone:.0f} |")
    print(f"| `reflowbench launch`, {args.workers} workers | {tasks + finish:.0f} |")
    print(f"| of that, the last `dvc repro` | {finish:.0f} |")
    print(f"\n{alone / (tasks + finish):.2f} times as fast; ", end="")
    print(f"outputs that differ: {', '.join(differ)}" if differ else "every entry of dvc.lock is the same")
    if args.keep or differ:
        print(f"both are in {base}")
    else:
        shutil.rmtree(base)
    sys.exit(bool(differ))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", help="of profiles/ (default: params.yaml as it is)")
    parser.add_argument("--workers", type=int, default=cores(), help="default: all cores, %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="of each stage, in both (default: %(default)s)")
    parser.add_argument("--folder", help="where the clones are (default: the folder for temporary files)")
    parser.add_argument("--keep", action="store_true", help="keep the clones")
    main(parser.parse_args())
