"""What the code imports, calls and reads, from its source: for the tests of the DAG."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

SRC = ROOT / "src"
COUPLINGS = SRC / "reflowbench/couplings"
UNWATCHED = ("src/reflowbench/runtime", "src/reflowbench/methods", "src/reflowbench/errors.py")
"""Code that no number depends on: no stage of any dvc.yaml depends on it."""
METHOD_BLOCK = "parse(method.params, entry.params, f'methods.{args.name}.params.', str(args.params))"
"""How theory_gaussian reads the block of its entry, which `params` holds already."""


def module_file(name):
    """File of a module of ours, or None for other modules."""
    parts = name.split(".")
    base = {"reflowbench": SRC, "stages": ROOT}.get(parts[0])
    if base is None:
        return None
    path = base.joinpath(*parts)
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)


@cache
def tree_of(path):
    return ast.parse(path.read_text())


@cache
def imports(path):
    """Files of ours that a file imports anywhere, functions included."""
    found = []
    for node in ast.walk(tree_of(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += filter(None, map(module_file, names))
    return found


def packages(path):
    """The __init__ files that Python runs before a file of ours, if they do more than document."""
    for folder in path.parents:
        init = folder / "__init__.py"
        if folder in (SRC, ROOT):
            return
        # The face of the package holds a docstring and the version only.
        if init.exists() and init != SRC / "reflowbench/__init__.py" and len(tree_of(init).body) > 1:
            yield init


@cache
def calls(path):
    """Calls of a file, by the text of what is called."""
    return [(ast.unparse(node.func), node) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]


def methods_loaded(path, method):
    """Files of methods that a stage script imports by name: that of its entry of `methods`."""
    called = {name for name, _ in calls(path) if name.startswith("registry.") and "(" not in name}
    loading = {"registry.load", "registry.load_entry", "registry.load_method_params"}
    assert called <= loading | {"registry.build"}  # that of the networks
    return [COUPLINGS / f"{method}.py"] if called & loading else []


@cache
def reached(path, method):
    """Files that may decide the numbers of a stage script which trains by a method, as paths in the repository.

    What they reach through code that decides none, such as `runtime/`, is among them.
    """
    found, todo = set(), [path]
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo += [*imports(current), *packages(current)]
            if current.parent == ROOT / "stages":
                todo += methods_loaded(current, method)
    face = {Path("src/reflowbench/__init__.py"), Path("stages/__init__.py")}
    return {p.relative_to(ROOT) for p in found if not is_unwatched(p.relative_to(ROOT))} - face


def is_unwatched(path):
    """Whether a file or folder of the repository is, or holds, what no number depends on."""
    return any(path.is_relative_to(place) or Path(place).is_relative_to(path) for place in UNWATCHED)


def grid_keys_read(path):
    """Keys of the grid that a script reads one by one; none if it hands the grid on as a whole."""
    tree = tree_of(path)
    keys, whole = set(), False
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        loads = isinstance(node, ast.Call) and ast.unparse(node).startswith("load_group(GridParams")
        if loads or (isinstance(node, ast.Name) and node.id == "grid" and isinstance(node.ctx, ast.Load)):
            parent = parents[node]
            parent = parents[parent] if isinstance(parent, ast.Tuple) else parent  # assigned with others
            if isinstance(parent, ast.Attribute):
                keys.add(f"grid.{parent.attr}")
            elif not isinstance(parent, ast.Assign):
                whole = True
    return {"grid"} if whole else keys


def own_groups(path):
    """Groups that a script reads from a parameter file of its own, with the argument that names the file.

    All are read like `parse(GansParams, read_yaml(args.params).get("gans"), "gans.", str(args.params))`.
    """
    found = []
    for name, call in calls(path):
        text = ast.unparse(call)
        if name == "parse" and text != METHOD_BLOCK:
            match = re.fullmatch(
                r"parse\(\w+, read_yaml\(args\.(\w+)\)\.get\('(\w+)'\), '\2\.', str\(args\.\1\)\)", text
            )
            assert match, f"{path}: {text}"
            found.append(match.groups())
    assert len(found) == [name for name, _ in calls(path)].count("read_yaml"), path
    return found


def loaded(path):
    """Classes that a script gives to load_group."""
    return {ast.unparse(call.args[0]) for name, call in calls(path) if name == "load_group"}


def uses_of_params(path):
    """What a script does with the whole parameter file, which it calls `params`."""
    nodes = list(ast.walk(tree_of(path)))
    uses = [n for n in nodes if isinstance(n, ast.Name) and n.id == "params" and isinstance(n.ctx, ast.Load)]
    attributes = [n.attr for n in nodes if isinstance(n, ast.Attribute) and n.value in uses]
    return attributes + ["the whole"] * (len(uses) - len(attributes))
