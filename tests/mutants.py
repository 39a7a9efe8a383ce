"""What `mutmut run` found: docs/mutants.md, with the survivors and why they live.

    make mutants          # mutmut run, two hours on two cores, then this

A mutant is the code with one small change. It is killed if a test fails, or does not end. The exit status is 1 if fewer
than 80 % are.
"""

import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant

from reflowbench import git

MUTANTS = Path("mutants")
PAGE = Path("docs/mutants.md")
LEAST = 0.8
PARTS = ("flow", "couplings", "metrics")
SURVIVED, NO_TESTS = 0, 33
OUTCOMES = {SURVIVED: "survived", NO_TESTS: "no test", None: "not run"}
"""What codes of mutmut mean that are no kill."""

REASONS = {
    r"strict=": "`zip` without its check that the parts are of one length. They are: it is for who changes the code.",
    r"\.to\(|device|map_location": "Another device, or none: on the CPU all are one; `make test-gpu` has a GPU.",
    r"dtype|float64": "Another type of numbers, where the arguments have that type already or the last digits move.",
    r"raise |UndefinedError|remedy|asked_for|_finite\(|\"[^\"]* [^\"]* ": "The wording of a message.",
    r"generator\(|noise\(|\.draw\(": "Another stream of random numbers: another sample of the same law.",
    r"part_of|\.done|facts\[|params\(|load_params|parse\(|joined|real\.start|_fc\(|restore\(": (
        "What other tests look at: resuming, several processes, blocks of parameters."
    ),
    r"errors=|left_out|leaving_out|slice\(|range\(|wide|strided|_groups|errstate|bias=|weights_only|download": (
        "How it is computed: in which blocks, with which shortcut, with which warnings; what comes out is the same."
    ),
    r"clamp|clip\(|[<>]|min\(|max\(|1e-|\bif \(|guess|step =|rejected": "A boundary or guard that no number here hits.",
    r"shape|images|axis|dim[=)]": "Sizes that the tests' images do not have: large ones are averaged down.",
}
"""By what the changed part holds, in this order."""
OTHERS = "Others: equivalent, or noticed by no test of these."
HEAD = """# Mutants

What tests would notice: `make mutants` changes one thing at a time in `flow`, `couplings` and `metrics` with
[mutmut](https://mutmut.readthedocs.io), and runs the tests of these and of the parameters on each. Hours on two cores,
so it is no part of CI. Written by `tests/mutants.py`, at {commit}.

| | mutants | killed | survived | without a test | not run yet | killed, % of all |
| --- | --: | --: | --: | --: | --: | --: |"""
SURVIVORS = """
## Survivors

By what was changed, which also tells why no test minds; `-` is the code, `+` the mutant.
"""


def read():
    """Counts of outcomes for each file, and the survivors: {file: [(removed lines, added lines)]}."""
    counts, survivors = {}, defaultdict(list)
    for meta in sorted(MUTANTS.glob("src/**/*.meta")):
        path = meta.relative_to(MUTANTS).with_suffix("")
        outcomes = json.loads(meta.read_text())["exit_code_by_key"]
        if not outcomes:
            continue
        name = path.relative_to("src/reflowbench").as_posix()
        counts[name] = Counter(OUTCOMES.get(code, "killed") for code in outcomes.values())
        for mutant, code in outcomes.items():
            if code in {SURVIVED, NO_TESTS}:
                diff = get_diff_for_mutant(mutant, path=path).splitlines()
                lines = [line for line in diff if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
                old, new = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
                survivors[name].append((old, new))
    return counts, survivors


def changed(old, new):
    """The part of a line that is another, with what is around it."""
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    end = next((i for i, (a, b) in enumerate(zip(old[::-1], new[::-1], strict=False)) if a != b), 0)
    return old[max(0, start - 24) : len(old) - end + 12]


def reason(old, new):
    """Why a mutant lives."""
    around = changed(old, new)
    return next((why for pattern, why in REASONS.items() if re.search(pattern, around)), OTHERS)


def page(counts, survivors):
    """The page."""
    lines = [HEAD.format(commit=git.line("describe", "--always"))]
    total = Counter()
    for part in PARTS:
        here = sum((count for name, count in counts.items() if name.startswith(part)), Counter())
        lines.append(row(part, here))
        total += here
    lines.append(row("all", total))
    by_reason = defaultdict(list)
    for name, found in survivors.items():
        for old, new in found:
            by_reason[reason(old, new)].append((name, old, new))
    lines.append(SURVIVORS)
    for why in [*REASONS.values(), OTHERS]:
        found = by_reason.get(why, [])
        lines += [f"### {len(found)}: {why}", ""]
        if found:
            lines += ["```diff", *(f"{name}\n- {old}\n+ {new}" for name, old, new in found), "```", ""]
    return "\n".join(lines), total["killed"] / total.total()


def row(what, counts):
    """A row of the table."""
    numbers = [counts.total(), *(counts[outcome] for outcome in ("killed", "survived", "no test", "not run"))]
    return f"| {what} | {' | '.join(map(str, numbers))} | {100 * counts['killed'] / counts.total():.1f} |"


if __name__ == "__main__":
    text, share = page(*read())
    PAGE.write_text(text)
    print(f"{100 * share:.1f} % killed; see {PAGE}")
    sys.exit(share < LEAST)
