"""Audit of dependencies, offline: the lock pins everything exactly, is what is installed, and has known holes fixed.

`pip-audit` asks a server for all advisories; this knows a few of packages that parse bytes or answer requests.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import canonicalize_name
from packaging.version import Version

LOCK = Path("requirements.lock")
PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[a-z0-9,-]+\])?==(?P<version>[A-Za-z0-9.!+_-]+)(?: ; (?P<marker>.+))?"
)
NOT_PINNED = {"pip", "reflowbench", "uv"}
"""Come with the environment, or are this project; uv is what `make lock` installs."""
NUMERICS = ("clean-fid", "numpy", "pandas", "safetensors", "scikit-learn", "scipy", "torch", "torchvision")
"""What numbers come from: the same for every version of Python."""
FIXED = {
    "aiohttp": ("3.12.14", "CVE-2025-53643: request smuggling"),
    "asyncssh": ("2.14.1", "CVE-2023-46446: another one's session"),
    "cryptography": ("44.0.1", "CVE-2024-12797: an unverified server"),
    "dulwich": ("0.9.9", "CVE-2015-0838: overflow in reading a pack"),
    "flask": ("2.3.2", "CVE-2023-30861: a cached session of another user"),
    "fonttools": ("4.43.0", "CVE-2023-45139: files are read by way of a font's XML"),
    "gitpython": ("3.1.41", "CVE-2024-22190: a git of the working folder is run"),
    "gunicorn": ("22.0.0", "CVE-2024-1135: request smuggling"),
    "h11": ("0.16.0", "CVE-2025-43859: request smuggling"),
    "idna": ("3.7", "CVE-2024-3651: quadratic time"),
    "jinja2": ("3.1.6", "CVE-2025-27516: a template gets out of the sandbox"),
    "mako": ("1.2.2", "CVE-2022-40023: quadratic time"),
    "mlflow": ("2.9.2", "CVE-2023-6909: files outside of the store are read"),
    "pillow": ("11.3.0", "CVE-2025-48379: overflow of a buffer; CVE-2023-4863: WebP"),
    "protobuf": ("6.31.1", "CVE-2025-4565: recursion without end"),
    "pyarrow": ("14.0.1", "CVE-2023-47248: a file of data runs code"),
    "pyyaml": ("5.4", "CVE-2020-14343: full_load runs code"),
    "requests": ("2.32.4", "CVE-2024-47081: credentials of .netrc go to another host"),
    "setuptools": ("78.1.1", "CVE-2025-47273: files are written outside of the folder"),
    "sqlparse": ("0.5.0", "CVE-2024-4340: recursion without end"),
    "starlette": ("0.40.0", "CVE-2024-47874: forms fill the memory"),
    "torch": ("2.6.0", "CVE-2025-32434: load with weights_only runs code"),
    "tqdm": ("4.66.3", "CVE-2024-34062: arguments of the command line are run"),
    "urllib3": ("2.5.0", "CVE-2025-50181: redirects cannot be switched off"),
    "werkzeug": ("3.0.6", "CVE-2024-49767: forms fill the memory"),
}
"""The least version of packages that take untrusted bytes, with what it fixed. Of safetensors none is known."""


def pins(text: str) -> tuple[dict[str, tuple[Version, bool]], list[str]]:
    """Versions by name, with whether they are for this platform; and a fault for each line that is no exact pin."""
    found: dict[str, tuple[Version, bool]] = {}
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pin = PIN.fullmatch(line)
        if pin is None:
            faults.append(f"{LOCK}:{number}: {line}: want name==version, without an address or a path; run `make lock`")
            continue
        here = pin["marker"] is None or Marker(pin["marker"]).evaluate()
        name = canonicalize_name(pin["name"])
        if here or name not in found:
            found[name] = Version(pin["version"]), here
    return found, faults


def forks(text: str) -> Iterator[str]:
    """Packages that results depend on and whose version depends on Python's."""
    for name in NUMERICS:
        lines = re.findall(rf"^{name}(?:\[.+\])?==.+", text, re.MULTILINE)
        if len(lines) != 1 or "python" in lines[0]:
            yield f"{lines or name}: want one version for all Pythons; bound it in pyproject.toml, `make lock`"


def differences(locked: dict[str, tuple[Version, bool]]) -> Iterator[str]:
    """What is installed and not locked so, and the other way round."""
    installed: dict[str, Version] = {canonicalize_name(d.name): Version(d.version) for d in distributions()}
    for name, version in sorted(installed.items()):
        if name not in locked:
            if name not in NOT_PINNED:
                yield f"{name} {version} is installed and not in {LOCK}: `pip uninstall {name}`, or `make lock`"
        elif locked[name][0] != version:
            yield f"{name} {version} is installed, {LOCK} has {locked[name][0]}: `make install`"
    for name, (version, here) in sorted(locked.items()):
        if here and name not in installed:
            yield f"{name} {version} of {LOCK} is not installed: `make install`"


def holes(locked: dict[str, tuple[Version, bool]]) -> Iterator[str]:
    """Packages that are too old to be trusted with what others wrote."""
    for name, (least, reason) in FIXED.items():
        if name not in locked:
            yield f"{name} is not in {LOCK} any more: delete it from tests/audit.py"
        elif locked[name][0] < Version(least):
            yield f"{name} {locked[name][0]} is older than {least} ({reason}): raise it in pyproject.toml, `make lock`"


def main() -> None:
    """Exit with an error that lists all faults, or say that there are none."""
    text = LOCK.read_text(encoding="utf-8")
    locked, faults = pins(text)
    faults += [*forks(text), *differences(locked), *holes(locked)]
    check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    if check.returncode:
        faults += (check.stdout + check.stderr).splitlines()
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        sys.exit(f"ERROR: {len(faults)} faults of the dependencies")
    print(f"audit: {len(locked)} exact pins, as installed; no known hole in {len(FIXED)} that parse what others wrote")


if __name__ == "__main__":
    main()
