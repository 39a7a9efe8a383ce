"""A Git repository with made-up results, as a user has after committing reports/."""

import shutil
import subprocess

import yaml

from reflowbench import profiles
from reflowbench.results.table import to_csv
from tests.conftest import ROOT
from tests.results.cells import grid, results_of, write_cells

SEED_FD = (10.0, 11.0, 13.0)


def fd(method, seed, k, nfe):
    """Grows by 5 a round from a start of each seed's own; ten times as large in a single step."""
    return (SEED_FD[seed] + 5 * k) * (10 if nfe == 1 else 1)


class Repository:
    """The repository; `params` and `table` are what the next commit holds."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("config", "user.name", "test")
        self.git("config", "user.email", "test@example.invalid")
        self.params = profiles.resolve("tiny", ROOT / "profiles")
        self.table = self.measured()

    def git(self, *arguments):
        result = subprocess.run(["git", *arguments], cwd=self.folder, capture_output=True, text=True, check=True)
        return result.stdout.strip()

    def measured(self, fd_=fd, grid_=None):
        """The table of evaluations whose Frechet distances are given."""
        scratch = self.folder.parent / "evaluations"
        grid_ = grid_ or grid()
        shutil.rmtree(scratch, ignore_errors=True)
        write_cells(scratch, fd_, methods=grid_.methods)
        return results_of(scratch, grid_).table

    def write(self):
        (self.folder / "reports").mkdir(exist_ok=True)
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.params))
        (self.folder / "reports/results.csv").write_text(to_csv(self.table))

    def commit(self):
        self.write()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "results")

    def branch(self, name):
        self.git("switch", "--quiet", "--create", name)
