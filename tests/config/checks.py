"""Checking and changing a tree of parameters."""

from reflowbench.methods import registry
from reflowbench.runtime import config


def check(values):
    """What `reflowbench check` makes of params.yaml: all checks, where a stage makes those of what it reads."""
    params = config.validate(values)
    registry.check(params, "params.yaml")
    return params


def put(values, path, value):
    *parents, last = path.split(".")
    for part in parents:
        values = values[int(part) if part.isdigit() else part]
    values[last] = value
