"""The commands `reflowbench scratch`, `verify` and `recover`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

# What takes time to import is imported where it is used: all commands read this file.


def add(commands: Any) -> None:
    """Add the commands.

    Args:
        commands: argparse's subparsers.
    """
    scratch = commands.add_parser(
        "scratch", help="list what killed stages have saved, and batches of diverged trainings"
    )
    scratch.add_argument("--clean", action="store_true", help="remove all that no process works on")
    scratch.set_defaults(run=_scratch)
    verify = commands.add_parser("verify", help="read outputs and DVC's cache and name what is not as it was written")
    verify.add_argument("--repair", action="store_true", help="remove that, so that `dvc repro` makes it anew")
    verify.set_defaults(run=_verify)
    recover = commands.add_parser("recover", help="make dvc.lock readable again after DVC was killed while it wrote it")
    recover.set_defaults(run=_recover)


def _scratch(args: argparse.Namespace) -> None:
    import time

    from reflowbench.upkeep import scratch

    found = scratch.clean() if args.clean else scratch.items()
    for item in found:
        note = "removed" if args.clean else f"process {item.holder}" if item.holder else "no process"
        written = time.strftime("%Y-%m-%d %H:%M", time.localtime(item.changed))
        print(f"{item.path}: {item.what}, {item.size / 1e6:.1f} MB, {written}, {note}")
    if not found:
        print("nothing in scratch that no process works on" if args.clean else "nothing in scratch")


def _verify(args: argparse.Namespace) -> None:
    from reflowbench import git
    from reflowbench.upkeep import verify

    found = list(verify.damages())
    left = 0
    for damage in found:
        removed = args.repair and verify.repair(damage)
        left += not removed
        remedy = ""
        if damage.where == "committed":
            ignored = git.ask("check-ignore", "--quiet", str(damage.path)) is not None  # so it may be of another branch
            remedy = "; `dvc repro` makes it anew" if ignored else f"; `git checkout {damage.path}` or `dvc repro`"
        print(f"{damage.path}: not what was written ({damage.where}{remedy}){': removed' if removed else ''}")
    if not found:
        print("outputs and DVC's cache are all as they were written")
    elif len(found) > left:
        print("`dvc repro` brings back or makes anew what was removed")
    if left:
        sys.exit(1)


def _recover(args: argparse.Namespace) -> None:
    from reflowbench.upkeep.recover import recover

    for sentence in recover():
        print(sentence)
