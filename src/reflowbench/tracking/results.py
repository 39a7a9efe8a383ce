"""What a whole state gave: the results, checked against the evaluations, and the best model of them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from mlflow.entities import Metric, Run

from reflowbench.runtime.artifacts import read_json
from reflowbench.runtime.evaluations import BASE, METRICS_FILE
from reflowbench.tracking import artifacts, records
from reflowbench.tracking.best import best_cell
from reflowbench.tracking.contents import Files
from reflowbench.tracking.lock import Entry, stage_hash
from reflowbench.tracking.records import Point, Row
from reflowbench.tracking.session import Session
from reflowbench.tracking.state import State

EVALUATIONS = "runs/evaluations/"
BEST = "best.md5"
"""Tag of a parent: hash of its best model."""

MODEL = "runs/chains/{method}/s{seed}/round{k}/model"
IMAGES = "runs/space/train.safetensors"
RESULTS, SUMMARY = "reports/results.csv", "reports/summary.json"


class Results:
    """The results of a state, for its parent run."""

    def __init__(self, session: Session, state: State, profile: str, runs: Mapping[str, Run]) -> None:
        """Prepare.

        Args:
            session: The open store.
            state: What is mirrored.
            profile: Its profile.
            runs: The run of each stage.
        """
        self._session, self._state, self._profile, self._runs = session, state, profile, runs
        self._rows: list[Row] = []
        self._best: str | None = None

    def are_of_this_state(self) -> bool:
        """Say whether results.csv holds just what the evaluations of this state say.

        It does not while a `dvc repro` has come part of the way: the evaluations are new, and results.csv still has
        the numbers of the last ones. Evaluations of cells that the grid has no longer are in none of them.

        Returns:
            True if both say the same of every cell.
        """
        results = self._report_files.get(RESULTS)
        if results is None or not self._reports_are_new():
            return False
        rows = records.read_results(results)
        if not rows:
            return False
        cells: dict[tuple[str, int, int], list[Row]] = {}
        for row in rows:
            cells.setdefault((row.method, row.seed, row.round), []).append(row)
        found = {}
        for entry in self._state.entries.values():
            for out in entry.get("outs", []):
                if out["path"].startswith(EVALUATIONS):
                    cell = records.cell(entry)
                    found[cell["method"], int(cell["seed"]), int(cell["round"])] = entry, out
        for (method, seed, k), expected in cells.items():
            pair = found.get((method if k else BASE, seed, k))
            files = pair and self._state.contents.files(pair[1], lambda name: name == METRICS_FILE)
            if not files or records.read_evaluation(files[METRICS_FILE], self._profile, method, seed, k) != expected:
                return False
        self._rows = rows
        return True

    def register(self) -> bool:
        """Register the model of the best cell; say whether it, or what it belongs to, is on this machine."""
        cell = best_cell(self._rows)
        if cell is None:
            return True
        from reflowbench.tracking.models import register  # imports more of MLflow, which a second sync needs not

        method, seed, k = cell
        path = MODEL.format(method=method, seed=seed, k=k)
        outs = [(name, out) for name, entry in self._state.entries.items() for out in entry.get("outs", [])]
        items, makers = {out["path"]: out for _, out in outs}, {out["path"]: name for name, out in outs}
        if path not in items or IMAGES not in items:  # another pipeline's layout
            return True
        if records.stage_params(self._state.entries[makers[IMAGES]]).get("latents.kind") == "autoencoder":
            return True  # it is no part of the results: a model whose images only it can draw is not registered
        self._best = items[path]["md5"]
        with tempfile.TemporaryDirectory() as folder:
            found = [self._state.contents.copy(items[name], Path(folder) / name) for name in (path, IMAGES)]
            if all(found):
                register(
                    self._session.client,
                    self._session.experiment,
                    self._runs[makers[path]].info.run_id,
                    name=f"reflowbench-{self._profile}",
                    md5=items[path]["md5"],
                    model=Path(folder) / path,
                    images=Path(folder) / IMAGES,
                    tags={"method": method, "seed": str(seed), "round": str(k)},
                    promote=self._state.checked_out,
                )
        return all(found)

    def _reports_are_new(self) -> bool:
        """Say whether all that made reports/ read what dvc.lock names now."""
        outs = {out["path"]: out.get("md5") for entry in self._state.entries.values() for out in entry.get("outs", [])}
        for entry in self._state.entries.values():
            if any(out["path"].startswith(artifacts.REPORTS) for out in entry.get("outs", [])):
                read = {dep["path"]: dep.get("md5") for dep in entry.get("deps", []) if dep["path"] in outs}
                if any(outs[path] != md5 for path, md5 in read.items()):
                    return False
        return True

    @cached_property
    def _report_files(self) -> dict[str, Path]:
        """Files of reports/, by path; without those of outputs that are not on this machine."""
        found = {}
        for entry in self._state.entries.values():
            for out in entry.get("outs", []):
                path = out["path"]
                files = self._state.contents.files(out) if path.startswith(artifacts.REPORTS) else None
                for name, file in (files or {}).items():
                    found[path if name == Path(path).name else f"{path}/{name}"] = file
        return found

    def log(self, parent: Run) -> None:
        """Log the results: as metrics, as tables that MLflow shows, and as the files that they are."""
        run_id, files = parent.info.run_id, self._report_files
        summary = records.summary_points(read_json(files[SUMMARY], seal=False)) if SUMMARY in files else []
        self._session.log(run_id, dated(parent, [*summary, *records.trend_points(self._rows)]), {})
        stages = [
            [name, stage_hash(name, self._state.entries[name]), run.info.run_id] for name, run in self._runs.items()
        ]
        tables = {"stages.json": {"columns": ["stage", "hash", "run_id"], "data": stages}}
        for path, file in files.items():
            if path.endswith(".csv"):
                table = records.results_table(self._rows) if path == RESULTS else records.csv_table(file)
                tables[f"tables/{path.removeprefix(artifacts.REPORTS).removesuffix('.csv')}.json"] = table
        with tempfile.TemporaryDirectory() as folder:
            for path, table in tables.items():
                target = Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(json.dumps(table))
            artifacts.gather(Path(folder), {path: {Path(path).name: file} for path, file in files.items()})
            self._session.client.log_artifacts(run_id, folder)
        # By this tag MLflow's page and `load_table` know which files are tables.
        marks = json.dumps([{"path": path, "type": "table"} for path in tables])
        tags = {BEST: self._best} if self._best else {}
        self._session.log(run_id, [], {}, {"mlflow.loggedArtifacts": marks, **tags})


def promote(session: Session, name: str, parent: Run) -> None:
    """Give a state's best model the alias `best`, which another state's may have since it was mirrored.

    Args:
        session: The open store.
        name: Name of the registered model.
        parent: Run of the state.
    """
    md5 = parent.data.tags.get(BEST)
    if md5 is None:
        return
    holder = session.client.get_registered_model(name).aliases.get("best")
    if holder is None or session.client.get_model_version(name, str(holder)).tags.get("dvc.md5") != md5:
        versions = session.client.search_model_versions(f"name = '{name}' AND tags.`dvc.md5` = '{md5}'")
        if versions:
            newest = max(versions, key=lambda version: int(version.version))
            session.client.set_registered_model_alias(name, "best", newest.version)


def read_evaluation(entry: Entry, files: Files, profile: str) -> list[Row]:
    """Read what an `evaluate` stage wrote; method, seed and round are those of its command."""
    cell = records.cell(entry)
    return records.read_evaluation(files[METRICS_FILE], profile, cell["method"], int(cell["seed"]), int(cell["round"]))


def dated(run: Run, points: Sequence[Point]) -> list[Metric]:
    """Date points to the run's start: the store drops one that it has, so that completing a run repeats none."""
    return [Metric(point.key, point.value, run.info.start_time, point.step) for point in points]
