"""What a stage has read, compared once more before it publishes its outputs.

DVC hashes code and parameters after a stage has run (treeverse/dvc#11058), so an edit made meanwhile would be recorded
as the cause of outputs that it did not make.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from reflowbench.errors import ReflowbenchError

Keys = tuple[str, ...]
Stamp = tuple[tuple[str, int, int], ...]

_UNWATCHED = ("reflowbench.runtime", "reflowbench.methods", "reflowbench.errors")
"""Code that no number depends on: no stage of dvc.yaml depends on it either."""
_ONE_BY_ONE = ("reflowbench", "reflowbench.couplings", "stages")
"""Of these folders a stage depends on single files; of others on all, since some are imported only when needed."""
_parameters: dict[Path, set[Keys]] = {}


def note(path: Path, *keys: Keys) -> None:
    """Note that this process uses values of a parameter file."""
    _parameters.setdefault(path, set()).update(keys)


def code() -> dict[str, Path]:
    """Files of the code that this process has imported and that numbers may depend on, by module or folder and file."""
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    found = {"__main__": Path(file)} if (file := files["__main__"]) else {}
    for name, file in files.items():
        if not file or not name.startswith(("reflowbench.", "stages.")) or name.startswith(_UNWATCHED):
            continue
        package = name if Path(file).stem == "__init__" else name.rpartition(".")[0]
        if package in _ONE_BY_ONE:
            found[name] = Path(file)
        else:
            found |= {f"{package}/{path.name}": path for path in Path(file).parent.glob("*.py")}
    return found


class Snapshot:
    """The code, parameters and inputs of a stage as they are now."""

    def __init__(self, inputs: Iterable[Path], parameters: Path, read: Callable[[Path], Any]) -> None:
        """Read what can change.

        Args:
            inputs: Files and folders that the stage reads; those that cannot be read are left out, since the stage
                fails on them.
            parameters: Its parameter file.
            read: Gives the values of a parameter file.
        """
        later = (Path(__file__).parents[1] / "couplings").glob("*.py")  # a stage imports the one that it trains by
        self._code = {path: path.read_bytes() for path in {*code().values(), *later}}
        self._inputs = {path: stamp for path in inputs if (stamp := _stamp(path)) is not None}
        self._parameters, self._read = parameters, read
        self._values = self._read_values()

    def check(self) -> None:
        """Compare.

        Raises:
            ReflowbenchError: If a file that was read has changed since; of the parameter file, a noted value, or any if
                none was noted.
        """
        read = [(path, self._code[path]) for path in sorted({*code().values()}) if path in self._code]
        changed = [str(path) for path, text in read if not path.exists() or path.read_bytes() != text]
        changed += [str(path) for path, stamp in self._inputs.items() if _stamp(path) != stamp]
        after, keys = self._read_values(), sorted(_parameters.get(self._parameters) or ((),))
        places = [".".join(key) for key in keys if _at(self._values, key) != _at(after, key)]
        changed += [f"{self._parameters}{': ' if place else ''}{place}" for place in places]
        if changed:
            here = Path.cwd()
            shown = ", ".join(name.removeprefix(f"{here}/") for name in changed[:3])
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise ReflowbenchError(
                f"{shown}{more} changed while this stage ran, so nothing is recorded; run `dvc repro` again. If you "
                "undo the change first, it resumes from its last checkpoint"
            )

    def _read_values(self) -> Any:
        """The parameters; None if the file cannot be read, as in the middle of an edit."""
        try:
            return self._read(self._parameters)
        except ReflowbenchError:
            return None


def _at(values: Any, keys: Keys) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _stamp(path: Path) -> Stamp | None:
    """Size and time of a file, or of each file below a folder: inputs may be too large to be read twice.

    Returns:
        The stamp; None of what is not there or cannot be read.
    """
    try:
        if not path.exists():
            return None
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        found = [(file, file.stat()) for file in files]
    except OSError:
        return None
    return tuple((file.as_posix(), facts.st_size, facts.st_mtime_ns) for file, facts in found)
