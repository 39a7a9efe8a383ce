"""docs/reference.md, from the parameters' classes and the command line: `python -m tests.docs.reference`."""

import json

from reflowbench.cli import parser
from reflowbench.methods import registry
from reflowbench.runtime.params import Params
from tests.conftest import ROOT

PAGE = ROOT / "docs/reference.md"
HEAD = """# Parameters and commands

Written by `python -m tests.docs.reference` from the classes of `src/reflowbench/runtime/params/`, those of the methods
in `src/reflowbench/couplings/`, and the command line.

## Commands
`reflowbench COMMAND --help` says what a command takes, `make help` what make does.

| command | what it does |
| --- | --- |
"""
PARAMETERS = """
## Parameters
The blocks of params.yaml, which `reflowbench profile NAME` writes: from `profiles/NAME.yaml`, the rest from
`profiles/defaults.yaml`; what has a default here may be left out of both. `dvc exp run -S` sets any of them, such as
`-S 'grid.methods=[reflow,rca]'`. `reflowbench rounds` writes the stages for more rounds or other `methods`, and
`reflowbench check` names the mistakes in params.yaml. A stage checks only the blocks that it reads.
"""
METHODS = """
## Parameters of the methods
The blocks of `methods`. In params.yaml each has the key `method` too, which names its method. A block with another name
is a variant, such as `rca_real: {method: rca, real_fraction: 1.0}` in a profile; `reflowbench profile` fills its other
values from the block of that method. It leaves out the blocks that `grid.methods` does not name. What each method does,
and by whom it is: [methods.md](methods.md).
"""
BOUNDS = {
    "minimum": "at least {:g}",
    "exclusiveMinimum": "above {:g}",
    "maximum": "at most {:g}",
    "exclusiveMaximum": "below {:g}",
    "multipleOf": "a multiple of {:g}",
}
KINDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "object": "mapping",
}


def options(schema):
    """The alternatives of a JSON schema; itself, if it has none."""
    return schema.get("anyOf") or schema.get("oneOf") or [schema]


def inner(schema):
    """What the items of a list or the values of a mapping by name are; None for other schemas."""
    several = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties"), schema.get("items")]
    return next((entry for entry in several if isinstance(entry, dict)), None)


def values(schema, places):
    """What a parameter takes, in words; `places` as of `blocks`."""
    if len(options(schema)) > 1:
        return "; or ".join(dict.fromkeys(values(option, places) for option in options(schema)))
    if "$ref" in schema:
        where = places.get(schema["$ref"].rpartition("/")[2])
        return f"block `{where[0]}`" if where else "block"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "null":
        return "null"
    if inner(schema):
        names = schema.get("propertyNames", {}).get("enum")
        of = "list" if "items" in schema else f"mapping of {' and '.join(names)}" if names else "by name"
        return f"{of}: {values(inner(schema), places)}"
    kind = "sha256" if schema.get("pattern") == "^[0-9a-f]{64}$" else KINDS[schema["type"]]
    return ", ".join([kind, *(words.format(schema[key]) for key, words in BOUNDS.items() if key in schema)])


def table(properties, places):
    """The parameters of a block."""
    rows = ["| parameter | values | default | meaning |", "| --- | --- | --- | --- |"]
    for name, schema in properties.items():
        default = f"`{json.dumps(schema['default']).strip(chr(34))}`" if "default" in schema else ""
        meaning = schema.get("description", "").replace("|", "\\|")
        rows.append(f"| `{name}` | {values(schema, places)} | {default} | {meaning} |")
    return "\n".join(rows)


def blocks(schema):
    """Where each class of parameters stands in params.yaml: {its name: dotted paths}, in the order of the file."""
    found = {}

    def walk(properties, path):
        for name, entry in properties.items():
            for option in options(entry):
                several = inner(option)
                reference = (several or option).get("$ref")
                if reference:
                    where = f"{path}{name}" + ("[]" if "items" in option else ".NAME" if several else "")
                    known = reference.rpartition("/")[2]
                    found.setdefault(known, []).append(where)
                    walk(schema["$defs"][known]["properties"], f"{where}.")

    walk(schema["properties"], "")
    return found


def described(names):
    """Each method's name, what it does, and the JSON schema of its parameters."""
    for name in names:
        method = registry.load(name)
        yield name, (method.coupling.__doc__ or "").partition("\n")[0], method.params.model_json_schema()


def render(methods):
    """The whole page, with these methods."""
    schema = Params.model_json_schema()
    [commands] = [action._choices_actions for action in parser()._actions if action.choices]
    parts = [HEAD + "\n".join(f"| `reflowbench {command.dest}` | {command.help} |" for command in commands), PARAMETERS]
    alone = {name: entry for name, entry in schema["properties"].items() if "$ref" not in json.dumps(entry)}
    places = blocks(schema)
    parts += [table(alone, places)]
    shown = {}
    for known, where in places.items():
        block = schema["$defs"][known]
        kind = block["properties"].get("name", {}).get("const")
        names = ", ".join(f"`{path}`" for path in dict.fromkeys(where)) + (f" (`name: {kind}`)" if kind else "")
        first = shown.setdefault(json.dumps(block["properties"]), where[0])
        own = table(block["properties"], places) if first == where[0] else f"The parameters are those of `{first}`."
        parts += [f"\n### {names}\n{block['description']}\n", own]
    parts += [METHODS]
    for name, what, block in described(methods):
        own = "\n\n" + table(block["properties"], places) if block["properties"] else " No parameters."
        parts += [f"### `{name}`\n{what}{own}\n"]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(registry.names()))
