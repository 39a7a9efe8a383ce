"""Code and parameters that change while a stage runs, by `dvc repro`: DVC hashes them only after it (dvc#11058)."""

import pytest

from tests.pipeline.project import Project, address

pytestmark = pytest.mark.long

STAGE, OUT = "reflow@reflow-0-1", "runs/chains/reflow/s0/round1/model"
COMMAND = ("dvc", "repro", "--single-item", address(STAGE))
SAVING = {"REFLOWBENCH_SAVE_SECONDS": "0.2"}
CODE = "src/reflowbench"


@pytest.fixture(scope="module")
def project(first, tmp_path_factory):
    """A copy of the pipeline that has run; trainings have nothing to show."""
    project = Project(tmp_path_factory.mktemp("edited") / "project").take(first[0])
    project.set_params(monitor__every=10**6)
    return project


def replaced(project, name, old, new):
    """Edit a file; gives what it was."""
    before = project.read(name)
    assert old.encode() in before
    (project.folder / name).write_bytes(before.replace(old.encode(), new.encode(), 1))
    return before


def run_and_edit(project, edits):
    """Edit files once the training has begun; gives the exit status, all that was said, and the files as they were."""
    process = project.start(*COMMAND, **SAVING)
    seen = ""
    while "reflow seed 0 round 1" not in seen:  # the label of its progress bar
        character = process.stderr.read(1)
        assert character, f"ended early: {seen}"
        seen += character
    before = {name: replaced(project, name, *texts) for name, *texts in edits}
    said = "".join(process.communicate(timeout=300))
    return process.returncode, seen + said, before


@pytest.mark.parametrize(
    ("steps", "edit", "named"),
    [
        (3000, (f"{CODE}/couplings/reflow.py", '"""', '"""Another. '), f"{CODE}/couplings/reflow.py"),
        (3001, ("params.yaml", "steps: 3001", "steps: 4001"), "params.yaml: round"),
    ],
)
def test_nothing_is_recorded_of_what_was_not_run(project, steps, edit, named):
    project.set_params(round__steps=steps)
    locks = project.locks()
    status, said, before = run_and_edit(project, [edit])
    assert status and f"ERROR: {named} changed while this stage ran, so nothing is recorded" in said
    assert project.locks() == locks and not (project.folder / OUT).exists()
    (project.folder / edit[0]).write_bytes(before[edit[0]])
    again = project.run(*COMMAND)
    assert project.stages_that_ran(again.stdout) == {STAGE} and "resumes with" in again.stdout + again.stderr
    assert project.lock()[STAGE]["params"]["params.yaml"]["round"]["steps"] == steps
    assert project.repro("--dry", *COMMAND[2:]) == set()


def test_what_it_does_not_depend_on_may_change(project):
    """A file of the runtime, another coupling, and a parameter that it does not read."""
    project.set_params(round__steps=3002)
    edits = [
        (f"{CODE}/runtime/locks.py", '"""', '"""Another. '),
        (f"{CODE}/couplings/rca.py", '"""', '"""Another. '),
        ("params.yaml", "inversion_steps: 4", "inversion_steps: 5"),
    ]
    status, said, _ = run_and_edit(project, edits)
    assert status == 0, said
    assert project.lock()[STAGE]["params"]["params.yaml"]["round"]["steps"] == 3002
    assert (project.folder / OUT).exists() and project.repro("--dry", *COMMAND[2:]) == set()
