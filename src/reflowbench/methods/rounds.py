"""The stages of every round, `rounds/ROUND/dvc.yaml`, from one template.

DVC's matrix can neither filter methods nor count, so each round has a file that names the round before, and in it each
coupling a group of stages. They cover all entries of `methods`. `dvc repro` runs those of them that the evaluations of
`grid` need.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from reflowbench.errors import ReflowbenchError
from reflowbench.methods import entries, registry
from reflowbench.runtime.artifacts import write_text
from reflowbench.runtime.params import Params

FOLDER = Path("rounds")
TEMPLATE = "dvc.yaml.j2"
REMEDY = "run `reflowbench rounds`"
_PACKAGE = "reflowbench.couplings"
_CHAIN = "runs/chains/${item.method}/s${item.seed}"


@dataclass(frozen=True)
class Group:
    """The stages that train on the pairs of one coupling.

    Attributes:
        coupling: Its name.
        methods: Entries of `methods` that name it.
        stored: Kinds of stored pairs that it reads.
        files: Its file of `couplings/`, and those beside it that this imports.
        params: What it reads of the group `pairs`, as in a list of dvc.yaml.
    """

    coupling: str
    methods: str
    stored: Sequence[str]
    files: list[str]
    params: str


def render(params: Params, root: Path = Path()) -> dict[int, str]:
    """Give the text of every round's dvc.yaml.

    Args:
        params: The whole of the parameters, checked.
        root: The folder of the root dvc.yaml.

    Returns:
        The texts by round, up to the last one of the grid.
    """
    couplings = {name: entries.split(params.methods, name, "params.yaml")[0] for name in params.methods}
    methods = {name: registry.load(coupling) for name, coupling in couplings.items()}
    groups = []
    for coupling in dict.fromkeys(couplings.values()):
        own = [name for name in couplings if couplings[name] == coupling]
        method = registry.load(coupling)
        read = "pairs, " if method.regenerates else "" if method.stored else "pairs.clip, "
        stored = [kind for kind in ("synthetic", "inverted") if kind in method.stored]
        groups.append(Group(coupling, _listed(own), stored, sorted(_files(coupling)), read))
    kinds = {kind: [n for n, m in methods.items() if kind in m.stored] for kind in ("synthetic", "inverted")}
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        (root / FOLDER / TEMPLATE).read_text(encoding="utf-8")
    )
    return {
        round_: template.render(
            round=round_,
            start="runs/base/s${item.seed}" if round_ == 1 else f"{_CHAIN}/round{round_ - 1}/model",
            groups=groups,
            code=lambda *names: "\n    ".join(f"- src/reflowbench/{name}" for name in names),
            **{kind: _listed(names) for kind, names in kinds.items()},
        )
        + "\n"
        for round_ in range(1, params.grid.rounds[-1] + 1)
    }


def write(params: Params, root: Path = Path()) -> None:
    """Write the files of all rounds, and remove those of later ones with their dvc.lock."""
    wanted = render(params, root)
    for round_, text in wanted.items():
        write_text(root / FOLDER / str(round_) / "dvc.yaml", text)
    for folder in written(root):
        if int(folder.name) not in wanted:
            shutil.rmtree(folder)


def written(root: Path = Path()) -> list[Path]:
    """Folders of the rounds that have a dvc.yaml, in their order."""
    folders = [path.parent for path in (root / FOLDER).glob("*/dvc.yaml") if path.parent.name.isdecimal()]
    return sorted(folders, key=lambda folder: int(folder.name))


def check(params: Params, root: Path = Path()) -> None:
    """Check that the files are those of the parameters. There may be more rounds than the grid has.

    Raises:
        ReflowbenchError: If one is missing or other than it would be written.
    """
    for round_, text in render(params, root).items():
        path = root / FOLDER / str(round_) / "dvc.yaml"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            what = "differs from what its template gives for `methods` of params.yaml" if path.exists() else "missing"
            raise ReflowbenchError(f"{path}: {what}; {REMEDY}")


def _listed(names: list[str]) -> str:
    return f"[{', '.join(names)}]" if names else ""


def _files(coupling: str) -> set[str]:
    """A coupling's file, and those of other couplings that it imports."""
    found: set[str] = set()
    todo = {coupling}
    while todo:
        name = todo.pop()
        found.add(name)
        code = (entries.FOLDER / f"{name}.py").read_text(encoding="utf-8")
        todo |= set(_imported(code)) & set(entries.names()) - found
    return {f"{name}.py" for name in found}


def _imported(code: str) -> Iterator[str]:
    """Names of what a file of `couplings/` imports from that folder."""
    for node in ast.walk(ast.parse(code)):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, (_PACKAGE if node.level else "", node.module)))
            modules = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for module in modules:
            if module.startswith(f"{_PACKAGE}."):
                yield module.removeprefix(f"{_PACKAGE}.").partition(".")[0]
