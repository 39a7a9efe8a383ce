"""The `reflowbench` command."""

from __future__ import annotations

import argparse
import io
import math
import signal
import sys
from pathlib import Path

from reflowbench import __version__
from reflowbench.cluster import command as launching
from reflowbench.core.schemes import NFE_PER_STEP
from reflowbench.errors import ReflowbenchError
from reflowbench.upkeep import command as looking_after

# Commands import what they need themselves: `track` runs after every `dvc repro` and must be quick.
_MOST = 100_000
"""Samples, steps and milliseconds are of no use beyond, and a slip would fill the memory."""
_LARGEST_RATE = 1e30
"""Beyond any machine, and far from where hours overflow; its inverse is the smallest."""


def _profile(args: argparse.Namespace) -> None:
    from reflowbench import profiles

    profiles.write_profile(args.name, target=args.out)
    print(f"wrote {args.out} for profile {args.name}")


def _rounds(args: argparse.Namespace) -> None:
    from reflowbench.methods import registry, rounds
    from reflowbench.runtime.config import PARAMS_FILE, load_params

    params = load_params()
    registry.check(params, str(PARAMS_FILE))
    rounds.write(params)
    print(f"wrote {rounds.FOLDER}/1 to {rounds.FOLDER}/{params.grid.rounds[-1]} for {', '.join(params.methods)}")


def _check(args: argparse.Namespace) -> None:
    from reflowbench.methods import registry, rounds
    from reflowbench.runtime.config import PARAMS_FILE, load_params

    params = load_params(args.params)
    registry.check(params, str(args.params))
    if args.params == PARAMS_FILE:
        rounds.check(params)
    cells = len(params.grid.methods) * len(params.grid.seeds) * len(params.grid.rounds) + len(params.grid.seeds)
    print(f"{args.params} is valid: profile {params.profile}, {cells} models to evaluate")
    inception = params.evaluate.inception.weights if "inception" in params.evaluate.features else None
    named = (
        ("data", "path", params.data.path, params.data.sha256),
        ("latents", "path", params.latents.path, params.latents.sha256),
        ("evaluate.inception", "weights", inception, params.evaluate.inception.sha256),
    )
    for group, key, path, sha256 in named:
        if path and sha256 is None:
            remedy = "the first run stops and says the checksum to put there"
            print(f"WARNING: {group}.sha256 is null: {remedy}", file=sys.stderr)
        if path and not Path(path).exists():
            print(f"WARNING: {group}.{key} = {path!r}: nothing is there yet", file=sys.stderr)


def _track(args: argparse.Namespace) -> None:
    from reflowbench.tracking.store import StoreError
    from reflowbench.tracking.sync import sync_if_changed

    try:
        print(sync_if_changed(args.revision))
    except StoreError as error:
        if not args.best_effort:
            raise
        print(f"WARNING: {error}", file=sys.stderr)


def _sample(args: argparse.Namespace) -> None:
    from reflowbench.gallery.draw import write_animation, write_grid
    from reflowbench.gallery.models import DATA, open_model
    from reflowbench.runtime.config import PARAMS_FILE, load_params
    from reflowbench.runtime.stage import set_threads

    set_threads()
    if args.out.suffix != args.format:
        raise ReflowbenchError(f"--out {args.out}: this writes {args.format} files; end the name in {args.format}")
    latents = load_params().latents if PARAMS_FILE.exists() else None
    data = args.data or DATA
    model = open_model(args.model, data, latents)
    seed = model.seed if args.seed is None else args.seed
    if args.format == ".png":
        write_grid(args.out, model, args.n, args.nfe, args.solver, seed)
    else:
        write_animation(args.out, model, args.n, args.nfe, args.solver, seed, args.milliseconds)
    print(f"wrote {args.out}: {args.n} samples of {args.model}, {args.solver}, NFE {args.nfe}, noise of seed {seed}")


def _cost(args: argparse.Namespace) -> None:
    from reflowbench import profiles
    from reflowbench.cost.measure import Throughput, measure
    from reflowbench.cost.plan import Planner
    from reflowbench.cost.sizes import sets_of, space_of
    from reflowbench.cost.view import show
    from reflowbench.methods import registry
    from reflowbench.runtime.config import load_params, validate
    from reflowbench.runtime.stage import set_threads

    set_threads()
    params = validate(profiles.resolve(args.profile), args.profile) if args.profile else load_params()
    registry.check(params, args.profile or "params.yaml")
    train, heldout, assumed = sets_of(params.data, args.images)
    space, of_space = space_of(params.latents, train.shape)
    planner = Planner(params, train, heldout, space)
    throughput = None
    if args.measure:
        throughput = measure(params, planner.network, space)
    elif args.flops or args.steps_per_second:
        flops = args.flops or args.steps_per_second * planner.network.training(params.round).flops
        throughput = Throughput(flops, flops)
    show(planner.lines(), planner.network.parameters, throughput, sys.stdout, [*assumed, *of_space])


def _images(text: str) -> tuple[int, ...]:
    parts = text.split("x")
    if len(parts) != 4:
        raise argparse.ArgumentTypeError(f"{text!r}: want number, channels, height and width, such as 50000x3x32x32")
    return tuple(map(_whole, parts))


def _whole(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r}: want a whole number from 1 to {_MOST}")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1 / _LARGEST_RATE <= value <= _LARGEST_RATE:
        raise argparse.ArgumentTypeError(f"{text!r}: want a positive number, such as 1e13")
    return value


def _name(text: str) -> str:
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r}: want a name")
    return text


def _path(text: str) -> Path:
    return Path(_name(text))


def _output(text: str) -> Path:
    path = _path(text)
    if path.is_dir():  # it would be replaced, with all that is in it
        raise argparse.ArgumentTypeError(f"{text!r}: this is a folder; name a file")
    return path


def _compare(args: argparse.Namespace) -> None:
    from reflowbench.compare.page import compare
    from reflowbench.compare.render import markdown, writer
    from reflowbench.compare.revisions import snapshot

    write = writer(args.out) if args.out else None
    before, after = (snapshot(revision, args.reports, args.params) for revision in (args.before, args.after))
    found = compare(before, after)
    print(markdown(found), end="")
    if write:
        write(found)


def _status(args: argparse.Namespace) -> None:
    import json

    from reflowbench.runtime.sidecar import profile
    from reflowbench.status.durations import read_durations
    from reflowbench.status.overview import as_json
    from reflowbench.status.stages import read_stages

    stages, durations = read_stages(), read_durations(profile())
    if args.json:
        print(json.dumps(as_json(stages, durations), indent=2))
    else:
        from reflowbench.status.view import show

        show(stages, durations, sys.stdout)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = argparse.ArgumentParser(prog="reflowbench", description=__doc__)
    main_parser.add_argument("--version", action="version", version=__version__)
    commands = main_parser.add_subparsers(metavar="command")
    profile = commands.add_parser("profile", help="write params.yaml for a profile")
    profile.add_argument("name", help="a file of profiles/, without .yaml")
    profile.add_argument("--out", type=_output, default=Path("params.yaml"), help="default: %(default)s")
    profile.set_defaults(run=_profile)
    rounds = commands.add_parser("rounds", help="write the stages of every round, rounds/ROUND/dvc.yaml")
    rounds.set_defaults(run=_rounds)
    check = commands.add_parser("check", help="check params.yaml")
    check.add_argument("--params", type=_path, default=Path("params.yaml"), help="default: %(default)s")
    check.set_defaults(run=_check)
    track = commands.add_parser("track", help="mirror the pipeline's state in MLflow")
    track.add_argument(
        "revision",
        metavar="REV",
        type=_name,
        nargs="?",
        help="a branch, tag, commit or DVC experiment (default: the working tree)",
    )
    track.add_argument("--best-effort", action="store_true", help="if the store fails, warn and exit with 0")
    track.set_defaults(run=_track)
    for name, kind, what in (
        ("sample", ".png", "draw a grid of samples of a model"),
        ("animate", ".gif", "draw samples of a model on their way from noise"),
    ):
        draw = commands.add_parser(name, help=what)
        draw.add_argument("model", type=_path, metavar="MODEL", help="a folder such as runs/chains/rca/s0/round4/model")
        draw.add_argument("--out", type=_output, required=True, help=f"the file; its name ends in {kind}")
        draw.add_argument("--n", type=_whole, default=64, help="samples (default: %(default)s)")
        draw.add_argument("--nfe", type=_whole, default=50, help="network evaluations of each (default: %(default)s)")
        draw.add_argument("--solver", choices=tuple(NFE_PER_STEP), default="euler", help="default: %(default)s")
        draw.add_argument("--seed", type=int, help="of the noise (default: that of the model's chain)")
        draw.add_argument("--data", type=_path, help="what it was trained on (default: runs/space/train.safetensors)")
        if name == "animate":
            draw.add_argument("--milliseconds", type=_whole, default=60, help="of a frame (default: %(default)s)")
        draw.set_defaults(run=_sample, format=kind)
    cost = commands.add_parser("cost", help="show what a profile costs before it runs")
    cost.add_argument("--profile", metavar="NAME", help="default: params.yaml as it is")
    cost.add_argument(
        "--images", type=_images, metavar="NxCxHxW", help="so many images of such a shape, for data that is not here"
    )
    hours = cost.add_mutually_exclusive_group()
    hours.add_argument("--measure", action="store_true", help="hours on this machine: times a step of each")
    hours.add_argument("--flops", type=_positive, help="hours on a machine with so many FLOPs a second")
    hours.add_argument("--steps-per-second", type=_positive, help="hours at so many training steps of a round a second")
    cost.set_defaults(run=_cost)
    looking_after.add(commands)
    status = commands.add_parser("status", help="show which cells of the grid are done, and why the others are not")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(run=_status)
    launching.add(commands, _whole, _path)
    compare = commands.add_parser("compare", help="compare parameters and results of two revisions")
    compare.add_argument("before", metavar="REV", type=_name, help="a branch, tag or commit")
    compare.add_argument("after", metavar="REV", type=_name, nargs="?", help="another one (default: the working tree)")
    compare.add_argument("--out", type=_output, help="also write a page: a name that ends in .md or .html")
    compare.add_argument("--reports", type=_path, default=Path("reports"), help="default: %(default)s")
    compare.add_argument("--params", type=_path, default=Path("params.yaml"), help="default: %(default)s")
    compare.set_defaults(run=_compare)
    return main_parser


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be text that it can show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        line = parser()
        args = line.parse_args(argv)
        if [] in vars(args).values():  # Python before 3.13 reads `--out=--` so
            line.error("-- is no value of an option")
        if "run" not in args:
            line.print_help()
            line.exit(2, "reflowbench: error: name a command\n")
        args.run(args)
    except ReflowbenchError as error:
        sys.exit(f"ERROR: {error}")
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"ERROR: {error.filename}: {error.strerror}; name another file or folder")
