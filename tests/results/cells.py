"""Evaluations of made-up models: as files, like those of the stage `evaluate`, and as a table."""

from dataclasses import asdict

import pandas as pd
import torch

from reflowbench.metrics.measurement import Measurement
from reflowbench.report.collapse import METRICS
from reflowbench.results.access import Results
from reflowbench.results.table import COLUMNS, gather
from reflowbench.runtime.artifacts import read_json, write_json, write_tensors
from reflowbench.runtime.evaluations import BASE, METRICS_FILE, SAMPLES_FILE, cell_folder
from reflowbench.runtime.params import GridParams

SEEDS = (0, 1, 2)
METHODS = ["reflow", "rca"]
FD = "frechet_distance"
LAW = ("inverted_norm", "inverted_ks_norm", "inverted_ks_coordinates", "inverted_correlation")
IN_FEATURES = (FD, f"{FD}_infinity", "kernel_distance", "precision", "density", "recall", "coverage")
OTHERS = tuple(metric for metric in METRICS if metric not in IN_FEATURES)


def grid(**changes):
    return GridParams.model_validate({"seeds": list(SEEDS), "methods": METHODS, "rounds": [1, 2]} | changes)


GRID = grid()


def measured(fd, method, seed, k):
    """What `evaluate` measures: Frechet distances by `fd`, the others the same for all methods and seeds."""
    classified, pixels = ({"features": features, "n_samples": 50} for features in ("classifier", ""))
    found = []
    for solver, nfe in (("euler", 1), ("euler", 50), ("dopri5", 20 + k)):
        shared = {"solver": solver, "nfe": nfe}
        found.append(Measurement(FD, fd(method, seed, k, nfe), **shared, **classified, error=0.25))
        found += [Measurement(metric, 1.0, **shared, **classified) for metric in IN_FEATURES[1:]]
        for metric in OTHERS:
            value = 1 - 0.125 * k if metric == "variance_ratio" else 0.5
            found.append(Measurement(metric, value, **shared, **pixels))
    last = {"solver": "euler", "nfe": 50, **pixels}
    found.append(Measurement("straightness", 0.5, **last, error=0.125))
    found.append(Measurement("nearest_training_distance", 3.25, **last))
    found.append(Measurement("closer_to_training", 0.625, **last))
    for metric in ("reconstruction_error_real", "reconstruction_error_synthetic", *LAW):
        found.append(Measurement(metric, 0.125, solver="heun", nfe=24, n_samples=25))
    if k == 0:
        floors = dict.fromkeys(IN_FEATURES, classified) | dict.fromkeys(OTHERS, pixels)
        floors["nearest_training_distance"] = pixels
        found += [Measurement(f"{metric}_floor", 2.0, **kind) for metric, kind in floors.items()]
    return found


def write_cell(folder, method, seed, k, fd, training):
    """The evaluation of one model, with the samples' grid; of a base model also the floors."""
    path = cell_folder(folder, method, seed, k)
    path.mkdir(parents=True)
    cell = {
        "measurements": [asdict(m) for m in measured(fd, method, seed, k)],
        "left_out": {"classifier": {"euler_1": [1.0, 2.0, 3.0], "euler_50": [1.0, 1.0, 2.0]}},
        "spectrum": [4.0 - k, 2.0, 1.0, 0.0],
        "real_spectrum": [4.0, 3.0, 2.0, 0.0] if k == 0 else [],
        "training": training,
        "classifier_accuracy": 0.9,
    }
    write_json(path / METRICS_FILE, cell)
    images = torch.full((4, 4), -1.0 + 0.5 * k)
    write_tensors(path / SAMPLES_FILE, {"euler_50": images}, {"shape": [1, 2, 2]})


def write_cells(folder, fd=lambda method, seed, k, nfe: 10.0 + k, bases=(BASE,), methods=METHODS, rounds=(1, 2)):
    training = {"updates": 10, "train_evaluations": 100, "forward_evaluations": 300, "inversion_evaluations": 0}
    for seed in SEEDS:
        for base in bases:  # of a base model other updates, and no pairs
            spent = {"updates": 70, "train_evaluations": 700, "forward_evaluations": 0}
            write_cell(folder, base, seed, 0, fd, training | spent)
        for method in methods:
            spent = {"inversion_evaluations": 150 if method == "rca" else 0}
            for k in rounds:
                write_cell(folder, method, seed, k, fd, training | spent)


def edit(folder, method, seed, k, change):
    """Change one evaluation: `change` edits its mapping in place."""
    path = cell_folder(folder, method, seed, k) / METRICS_FILE
    cell = read_json(path)
    change(cell)
    write_json(path, cell)


def lose(folder, method, seed, k, metrics=None, reason="it broke"):
    """Make values missing, as `evaluate` writes them: those of some metrics, or all of the model's."""

    def change(cell):
        for row in cell["measurements"]:
            if row["metric"] in metrics if metrics else not row["metric"].endswith("_floor"):
                row.update(value=None, error=None, missing=reason)
        if not metrics:
            cell.update(left_out={}, spectrum=[])

    edit(folder, method, seed, k, change)


def results_of(folder, grid_=GRID):
    return Results(gather(folder, grid_, "test", {})[0])


def table_of(value, methods=("reflow",), rounds=range(5), seeds=SEEDS, nfes=(1, 50), metric=FD):
    """A table of one metric from `value(method, seed, k, nfe)`; None or NaN is a missing value."""
    rows = [
        ["test", method, seed, k, "euler", nfe, "classifier", 50, metric, value(method, seed, k, nfe), None, ""]
        for method in methods
        for seed in seeds
        for k in rounds
        for nfe in nfes
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
