"""evaluate: all metrics of one model at every NFE."""

import argparse
from dataclasses import asdict
from pathlib import Path

from reflowbench.core.artifacts import atomic, write_json, write_tensors
from reflowbench.core.config import EvaluateParams, load_group
from reflowbench.core.data.images import ImageSet
from reflowbench.core.networks.model import load_facts, load_model
from reflowbench.core.stage import drive, run_stage, set_threads
from reflowbench.metrics import classifier
from reflowbench.metrics.evaluate import Evaluation

GROUPS = (EvaluateParams,)


def main(args: argparse.Namespace) -> None:
    """Measure the model; write the numbers and a grid of samples."""
    set_threads()
    params = load_group(EvaluateParams)
    data = ImageSet.load(args.data)
    features, accuracy = classifier.load(args.features)
    network, _, _ = load_model(args.model)
    evaluation = Evaluation(network, data, features, params, args.seed)
    drive(evaluation, "evaluate")
    result = {
        "measurements": [asdict(m) for m in evaluation.measurements],
        "training": load_facts(args.model),
        "classifier_accuracy": accuracy,
    }
    with atomic(args.out) as temporary:
        temporary.mkdir()
        write_json(temporary / "metrics.json", result)
        write_tensors(temporary / "samples.safetensors", evaluation.samples, {"shape": list(data.shape)})


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--seed", type=int, required=True)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--features", type=Path, required=True)
PARSER.add_argument("--model", type=Path, required=True, help="model folder")
PARSER.add_argument("--out", type=Path, required=True, help="evaluation folder")

if __name__ == "__main__":
    run_stage(main, PARSER)
