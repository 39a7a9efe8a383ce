"""Where the numbers of the page come from: conditions, inputs by hash, versions."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path

from reflowbench.core.schemes import ADAPTIVE
from reflowbench.report.markdown import Settings, parameters
from reflowbench.report.page.markup import Html, element, grid, join, prose
from reflowbench.report.page.numbers import Numbers
from reflowbench.report.page.words import listed
from reflowbench.report.tables import FD, plain
from reflowbench.runtime.artifacts import content_hash
from reflowbench.runtime.evaluations import distance_name

Facts = list[tuple[str, str]]


def conditions(numbers: Numbers, settings: Settings) -> Facts:
    """What every number was measured with."""
    results, training = numbers.results, settings.round
    features, n = results.conditions(FD)
    accuracy = results.per_seed(results.methods[0], 0, "classifier_accuracy")[0]
    seeds = ", ".join(map(str, results.seeds))
    interval = "mean ± half width of the 95 % Student-t interval over seeds; it counts training and sampling"
    return [
        ("Seeds", f"{seeds}: {interval if len(results.seeds) > 1 else 'a single seed has no interval'}"),
        ("Samples", f"{n} of each model, from the same noise for all models of a seed, rounded to grey levels"),
        ("Reference", "all training images, rounded to the same grey levels"),
        ("Features", f"Frechet distance is {distance_name(features)}; the data set's own classifier is right on "
                     f"{accuracy:.1%} of held-out images"),
        ("Solver", f"{results.solver} at NFE {listed([*map(str, results.nfes)])}; {ADAPTIVE} with tolerance "
                   f"{settings.evaluate.adaptive_tolerance:g}"),
        ("Weights", f"exponential moving average, decay {training.ema:g} in a round"),
        ("Real images", f"what they score against real images: FD {plain(results.floor(FD))}, {n} training images "
                        "drawn with replacement, against all; it is the floor of the charts"),
        ("Error over samples", f"the column `error`: jackknife over {settings.evaluate.groups} groups of samples, the "
                               "model given"),
        ("Equal training", f"every round of every method: {training.steps} steps of {training.batch} pairs, learning "
                           f"rate {training.lr:g} {training.schedule}, loss {training.loss}, times {training.times}"),
        ("Stored pairs", f"{settings.pairs.n} synthetic ones a round, and the noise of every real image, by "
                         f"{settings.pairs.solver} with {settings.pairs.steps} steps"),
    ]  # fmt: skip


def method_settings(numbers: Numbers, settings: Settings) -> Html:
    """The parameters of each method."""
    rows = [[method, parameters(settings, method) or "none"] for method in numbers.results.methods]
    return grid("Parameters of the methods", ["method", "parameters"], rows)


def inputs(files: Sequence[Path], settings: Settings) -> Facts:
    """Hashes of what the page is made from: of files and folders as DVC writes them to dvc.lock, and of the parameters.

    Args:
        files: Inputs of the stage.
        settings: The parameters that it reads.

    Returns:
        Names and hashes.
    """
    groups = {name: group.model_dump(exclude_defaults=True) for name, group in
              (("round", settings.round), ("pairs", settings.pairs), ("evaluate", settings.evaluate))}  # fmt: skip
    written = json.dumps(groups | {"methods": settings.methods}, sort_keys=True)
    hashed = hashlib.md5(written.encode(), usedforsecurity=False).hexdigest()
    found = [(f"{path.parent.name}/{path.name}", content_hash(path) or "missing") for path in files]
    return [*found, (f"parameters ({', '.join(groups)}, methods)", hashed)]


def versions() -> Facts:
    """What made the page."""
    import dvc
    import matplotlib
    import numpy
    import pandas
    import scipy
    import sklearn
    import torch
    import vl_convert

    found = [("python", platform.python_version())]
    found += [(module.__name__, str(module.__version__)) for module in (torch, dvc, numpy, scipy, pandas)]
    found += [(module.__name__, str(module.__version__)) for module in (sklearn, matplotlib)]
    return [*found, ("vega", vl_convert.get_vega_version()), ("vega-lite", vl_convert.get_vegalite_versions()[-1])]


def section(numbers: Numbers, settings: Settings, files: Sequence[Path]) -> Html:
    """Conditions, parameters, inputs and versions."""
    hashes = inputs(files, settings)
    table = next(md5 for name, md5 in hashes if name.endswith("results.csv"))
    return join([
        _list(conditions(numbers, settings)),
        method_settings(numbers, settings),
        element("h3", "Inputs"),
        grid("Inputs of this page by md5; files and folders as in dvc.lock", ["input", "md5"], hashes),
        element("p", prose(
            "dvc.lock has these hashes beside those of the code of every stage. A page that named its own commit would "
            "change with it; the commit that its numbers come from is found by "
            f"`git log -S {table} -- dvc.lock` (the last line): its code made them."
        )),
        element("h3", "Versions"),
        grid("Versions with which this page was made", ["package", "version"], versions()),
    ])  # fmt: skip


def _list(facts: Facts) -> Html:
    rows = (element("div", element("dt", term), element("dd", prose(value))) for term, value in facts)
    return element("dl", *rows, class_="facts")
