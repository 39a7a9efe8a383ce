"""The arguments of `reflowbench launch`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reflowbench.errors import ReflowbenchError

# What takes time to import is imported where it is used: all commands read this file.
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d{2})(?::(?P<seconds>\d{2}))?")
_KEY = re.compile(r"[a-z][a-z0-9-]*")


def add(commands: Any, whole: Callable[[str], int], path: Callable[[str], Path]) -> None:
    """Add the command.

    Args:
        commands: argparse's subparsers.
        whole: Reads a positive whole number.
        path: Reads a path.
    """
    launch = commands.add_parser("launch", help="run a pipeline's chains (method, seed) side by side, here or on SLURM")
    launch.add_argument("pipeline", type=path, nargs="?", default=Path("dvc.yaml"), metavar="DVC_YAML",
                        help="such as theory/dvc.yaml (default: %(default)s)")  # fmt: skip
    launch.add_argument("--profile", metavar="NAME", help="run this profile in a clone; results go to reports/NAME")
    launch.add_argument("--workers", type=whole, metavar="N", help="tasks at a time (default: as many as cores allow)")
    launch.add_argument(
        "--threads", type=whole, metavar="N", help="of each task (default: REFLOWBENCH_THREADS, or cores / workers)"
    )
    launch.add_argument("--retry", type=_count, default=1, metavar="K", help="tries after a failed one (default: 1)")
    launch.add_argument("--folder", type=path, default=Path(".scratch/launch"), metavar="DIR",
                        help="for clones and logs (default: %(default)s)")  # fmt: skip
    launch.add_argument("--keep", action="store_true", help="keep the clones of tasks that are done")
    launch.add_argument("--no-finish", action="store_true", help="do not run the last `dvc repro` in this checkout")
    launch.add_argument("--dry-run", action="store_true", help="show the plan and run nothing")
    slurm = launch.add_argument_group("SLURM")
    slurm.add_argument("--slurm", action="store_true", help="run each task as a job (needs reflowbench[cluster])")
    slurm.add_argument("--partition", metavar="P", help="default: the cluster's")
    slurm.add_argument("--cpus-per-task", type=whole, metavar="C", help="default: the threads of a task, or 1")
    slurm.add_argument("--gpus-per-task", type=whole, metavar="G", help="default: none is asked for")
    slurm.add_argument("--time", type=minutes, metavar="T", help="limit of a job, minutes or [DAYS-]HH:MM[:SS]")
    slurm.add_argument("--slurm-arg", type=_option, action="append", metavar="KEY=VALUE",
                       help="any other option of sbatch, such as account=vision; can be repeated")  # fmt: skip
    launch.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from reflowbench.cluster import uptodate

    pipeline = _pipeline(args.pipeline)
    if not (args.dry_run or args.profile) and uptodate.is_up_to_date(pipeline):
        print("nothing has changed since the last run; results are in reports/")
        return
    from reflowbench.cluster.launch import Options, dry_run, launch
    from reflowbench.cluster.slurm import Request
    from reflowbench.runtime.start import threads

    for_slurm = {"partition", "cpus_per_task", "gpus_per_task", "time", "slurm_arg"}
    if not args.slurm and (given := [name for name in sorted(for_slurm) if getattr(args, name)]):
        raise ReflowbenchError(f"--{given[0].replace('_', '-')} is about jobs: add --slurm")
    if args.profile:
        if args.dry_run or args.no_finish:
            raise ReflowbenchError("--profile keeps results: leave out --dry-run and --no-finish")
        from reflowbench.cluster.profiles import launch_profile

        sys.exit(launch_profile(args.profile, _passed_on(args), sys.stdout))
    _check(pipeline)
    if args.dry_run:
        dry_run(pipeline, sys.stdout)
        return
    request = None
    if args.slurm:
        cpus = args.cpus_per_task or args.threads or threads() or 1
        request = Request(args.partition, cpus, args.gpus_per_task, args.time, dict(args.slurm_arg or []))
    finish = not args.no_finish
    options = Options(args.workers, args.threads, args.retry, args.folder, args.keep, finish, request, pipeline)
    status = launch(options, sys.stdout)
    if status == 0 and finish:
        if pipeline == Path("dvc.yaml"):
            _mirror()
        uptodate.remember(pipeline)
    sys.exit(status)


def _mirror() -> None:
    """Bring MLflow up to date where stages came from the cache; say where the results are."""
    from reflowbench.tracking.store import StoreError
    from reflowbench.tracking.sync import sync_if_changed

    try:
        print(sync_if_changed())
    except StoreError as error:
        print(f"WARNING: {error}", file=sys.stderr)
    print("results: reports/report.md, and reports/index.html to explore")


def _pipeline(path: Path) -> Path:
    """The path of a dvc.yaml; of a folder, that in it."""
    path = path / "dvc.yaml" if path.is_dir() else path
    if path.name != "dvc.yaml" or not path.is_file() or path.is_absolute() or ".." in path.parts:
        raise ReflowbenchError(f"{path}: no dvc.yaml here; want one such as dvc.yaml or theory/dvc.yaml")
    return path


def _check(pipeline: Path) -> None:
    """Check the parameters before DVC puts their values into commands."""
    from reflowbench.methods import registry, rounds
    from reflowbench.runtime.config import PARAMS_FILE, load_params, read_yaml

    registry.check(params := load_params(), str(PARAMS_FILE))
    rounds.check(params)
    own = pipeline.with_name(PARAMS_FILE.name)
    if own != PARAMS_FILE and own.exists() and "grid" in read_yaml(own):
        registry.check(load_params(own), str(own))


def _passed_on(args: argparse.Namespace) -> list[str]:
    """The options for a launch in a clone."""
    numbers = {"workers": args.workers, "threads": args.threads, "retry": args.retry, "partition": args.partition,
               "cpus-per-task": args.cpus_per_task, "gpus-per-task": args.gpus_per_task, "time": args.time}  # fmt: skip
    given = [word for name, value in numbers.items() if value is not None for word in (f"--{name}", str(value))]
    given += [word for key, value in args.slurm_arg or [] for word in ("--slurm-arg", f"{key}={value}")]
    return [*given, *(["--keep"] if args.keep else []), *(["--slurm"] if args.slurm else [])]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 1000:
        raise argparse.ArgumentTypeError(f"{text!r}: want a whole number from 0 to 1000")
    return int(text)


def minutes(text: str) -> int:
    """A time limit in minutes, rounded up: `90`, `1:30`, `1:30:00` or `2-12:00:00`."""
    found = _TIME.fullmatch(text)
    if found:
        days, hours, mins, seconds = (int(found[name] or 0) for name in ("days", "hours", "minutes", "seconds"))
        total = (days * 24 + hours) * 60 + mins + (seconds > 0)
    else:
        total = int(text) if text.isdecimal() else 0
    if not 1 <= total <= 10**6:
        raise argparse.ArgumentTypeError(f"{text!r}: want minutes, HH:MM, HH:MM:SS or DAYS-HH:MM:SS")
    return total


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    key = key.lstrip("-").replace("_", "-")
    if not equals or not _KEY.fullmatch(key) or not value or not value.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r}: want KEY=VALUE, such as account=vision")
    return key, value
