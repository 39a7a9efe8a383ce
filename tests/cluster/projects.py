"""Copies of the project on the tiny profile, launched and compared."""

import json
import re
import time

import psutil

from tests.pipeline.project import Project

THREADS = {"REFLOWBENCH_THREADS": "1", "REFLOWBENCH_LIVE": "off"}
GATHERED = {"summarize", "report", "track"}
SLOW = 6000
"""Steps of a round that give time to stop it: some seconds, if nothing is looked at while it trains."""


class Checkout(Project):
    """A copy in which launches are looked at."""

    def _environment(self):
        return super()._environment() | THREADS

    def ran(self):
        """Stages whose scripts came to their end, wherever: as often as they did."""
        path = self.folder / ".scratch/durations.jsonl"
        runs = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [run["stage"] for run in runs if run["exit"] == 0]

    def log(self, task):
        path = self.folder / f".scratch/launch/logs/{task}.log"
        return path.read_text() if path.exists() else ""

    def launch(self, *options, **environment):
        """Start a launch, with nothing in the logs of an earlier one."""
        for path in (self.folder / ".scratch/launch/logs").glob("*.log"):
            path.unlink()
        return self.start("reflowbench", "launch", *options, **environment)

    def at_training(self, task):
        """Whether the last try of a task is at its round, and its bar is there."""
        last = self.log(task).rpartition("=== ")[2]
        return "stages.train_round" in last and "it/s" in last.rpartition("stages.train_round")[2]

    def processes_of(self, task):
        """What runs in a task's clone: its dvc, shells and stages."""
        clone = self.folder / f".scratch/launch/clones/{task}"
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(clone):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def slow_down(self, steps):
        """Let rounds take so many steps, and trainings look at their samples at the end only."""
        self.set_params(round__steps=steps, monitor__every=10 * SLOW)

    def clones(self):
        folder = self.folder / ".scratch/launch/clones"
        return {path.name for path in folder.iterdir()} if folder.exists() else set()


def restored(output):
    """Stages that DVC brought from its cache."""
    return set(re.findall(r"^Stage '([^']+)' is cached", output, re.MULTILINE))


def wait_for(condition, seconds=300):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "does not happen"
        time.sleep(0.05)
    return found
