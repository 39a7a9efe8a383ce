"""Profiles: small overlays over profiles/defaults.yaml, resolved into params.yaml.

DVC cannot overlay parameter files, so params.yaml is always the whole, resolved truth.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from reflowbench.errors import ReflowbenchError
from reflowbench.methods import entries, registry, rounds
from reflowbench.runtime.artifacts import write_text
from reflowbench.runtime.config import PARAMS_FILE, read_yaml, shortened, validate
from reflowbench.runtime.params import Params

FOLDER = Path("profiles")
DEFAULTS = "defaults"


def names(folder: Path = FOLDER) -> list[str]:
    """Profiles that there are."""
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem != DEFAULTS)


def resolve(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Merge a profile over the defaults and fill in what follows from the grid.

    An entry of `methods` that is named otherwise than a method is a variant: it names its method, and takes from that
    method's block what it does not say. Entries that the grid does not name are checked, then left out. A profile may
    extend another one (`extends: digits`). The ablations name `chains` instead, which run without stages of their own.

    Args:
        name: The profile.
        folder: Where profiles are.

    Returns:
        The parameter tree, checked.

    Raises:
        ReflowbenchError: If there is no such profile, or it does not make valid parameters.
    """
    source = folder / f"{name}.yaml"
    merged = _merged(name, folder)
    grid = merged["grid"]
    if "chains" in merged:
        if not isinstance(merged["chains"], dict) or not all(isinstance(c, dict) for c in merged["chains"].values()):
            raise ReflowbenchError(f"{source}: chains: want a mapping like {{rca_half: {{method: rca, params: {{}}}}}}")
        grid["methods"] = list(merged["chains"])
        merged["chains"] = {
            name: {"method": None, "base": "independent", "params": {}, "round": {}, "pairs": {}} | chain
            for name, chain in merged["chains"].items()
        }
    methods = merged["methods"]
    if isinstance(methods, dict):
        merged["methods"] = {name: _filled(name, block, methods, str(source)) for name, block in methods.items()}
    values = {"profile": name, **merged}
    registry.check(validate(values, str(source)), str(source))
    if "chains" not in values:
        values["methods"] = {name: values["methods"][name] for name in grid["methods"]}
    return values


def _merged(name: str, folder: Path) -> dict[str, Any]:
    """A profile over the one that it extends, or over the defaults."""
    if name not in names(folder):
        raise ReflowbenchError(f"no profile {name!r} in {folder}/; there are: {', '.join(names(folder))}")
    source = folder / f"{name}.yaml"
    overlay = read_yaml(source)
    other = overlay.pop("extends", None)
    if other is None:
        base = read_yaml(folder / f"{DEFAULTS}.yaml")
    elif other not in names(folder) or "extends" in read_yaml(folder / f"{other}.yaml"):
        value = shortened(repr(other))
        raise ReflowbenchError(f"{source}: extends = {value}: want another profile, which extends none itself")
    else:
        base = _merged(other, folder)
    return _merge(base, overlay, str(source), "")


def _merge(base: dict[str, Any], overlay: dict[str, Any], source: str, prefix: str) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overlay.items():
        if isinstance(base.get(key), dict):
            if not isinstance(value, dict):
                raise ReflowbenchError(f"{source}: {prefix}{key} = {shortened(repr(value))}: want a mapping")
            # Of a group of several kinds, such as `network`, another kind shares no value with the base's.
            other = "name" in value and value["name"] != base[key].get("name")
            merged[key] = value if other else _merge(base[key], value, source, f"{prefix}{key}.")
        else:
            merged[key] = value
    return merged


def _filled(name: str, block: Any, blocks: dict[str, Any], source: str) -> Any:
    """An entry of `methods` with its method first, and of a variant the rest of the method's block."""
    own = name if name in entries.names() else None
    method = block.get("method", own) if isinstance(block, dict) else None
    if method not in entries.names():
        return block  # the checks name it
    common = blocks.get(method) if method != name else None
    return {"method": method} | _merge(common if isinstance(common, dict) else {}, block, source, f"methods.{name}.")


def render(values: dict[str, Any]) -> str:
    """Write a parameter tree as YAML: the order of `Params`, each group with what it is for.

    As DVC itself writes YAML, so that `dvc exp run -S` changes the lines of what is set and no others.

    Args:
        values: The checked tree.

    Returns:
        The text of params.yaml; the same tree gives the same bytes.
    """
    profile = values["profile"]
    if values.get("chains"):
        head = f"# Edit profiles/{profile}.yaml, then `reflowbench profile {profile} --out {profile}/params.yaml`.\n"
    else:
        head = (
            f"# All parameters of the pipeline. Made by `reflowbench profile {profile}`; to be edited, or set by "
            "`dvc exp run -S`.\n"
        )
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.representer.ignore_aliases = lambda data: True  # readers of parameters take none
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", ""))
    parts = [head]
    for name, group in Params.model_fields.items():
        if name in values:
            text = io.StringIO()
            yaml.dump({name: values[name]}, text)
            first, newline, rest = text.getvalue().partition("\n")
            what = group.description or str(group.annotation.__doc__).splitlines()[0]
            parts.append(f"{first}{f'  # {what}' if rest else ''}{newline}{rest}")
    return "".join(parts)


def write_profile(name: str, folder: Path = FOLDER, target: Path = PARAMS_FILE) -> None:
    """Write params.yaml for a profile, whole or not at all; beside the root's dvc.yaml also the stages of its rounds.

    Args:
        name: The profile.
        folder: Where profiles are.
        target: Where to write it.

    Raises:
        ReflowbenchError: If there is no such profile, it does not make valid parameters, `target` is a folder, or it
            is that of the ablations and `target` is the pipeline's own file, whose stages the ablations do not have.
    """
    if target.is_dir():  # it would be replaced, with all that is in it
        raise ReflowbenchError(f"{target}: this is a folder; name a file in it, such as {target / PARAMS_FILE}")
    values = resolve(name, folder)
    if values.get("chains") and target == PARAMS_FILE:
        raise ReflowbenchError(
            f"profile {name} is of the ablations, not for {target}: name its file by --out ablations/params.yaml"
        )
    write_text(target, render(values))
    if target == PARAMS_FILE and (rounds.FOLDER / rounds.TEMPLATE).exists():
        rounds.write(validate(values))
