"""evaluate: all metrics of one model at every NFE; of the base model also what real images score."""

import argparse
from dataclasses import asdict
from pathlib import Path

from reflowbench.data.images import ImageSet
from reflowbench.data.latents import TRAIN, open_space
from reflowbench.data.space import Space
from reflowbench.flow.field import Field
from reflowbench.metrics.evaluate import Evaluation
from reflowbench.metrics.features.classifier import load
from reflowbench.metrics.features.registry import load_networks
from reflowbench.metrics.floor import HELDOUT, RECONSTRUCTIONS, floor, real_spectrum
from reflowbench.metrics.reference import Reference
from reflowbench.networks.model import load_facts, load_model
from reflowbench.runtime.artifacts import atomic, write_json, write_tensors
from reflowbench.runtime.config import load_group
from reflowbench.runtime.device import device
from reflowbench.runtime.distributed import world
from reflowbench.runtime.evaluations import METRICS_FILE, SAMPLES_FILE
from reflowbench.runtime.params import EvaluateParams, LatentsParams
from reflowbench.runtime.resume import Resumable
from reflowbench.runtime.stage import drive, run_stage, set_threads
from reflowbench.runtime.workspace import open_workspace

GROUPS = (EvaluateParams, LatentsParams)


def main(args: argparse.Namespace) -> None:
    """Measure the model; write the numbers and a grid of samples."""
    set_threads()
    params, latents = load_group(EvaluateParams, args.params), load_group(LatentsParams, args.params)
    data, heldout = ImageSet.load(args.data), ImageSet.load(args.heldout)
    where = device()
    classifier, accuracy = load(args.features, where)
    networks = load_networks(params, classifier, data.shape, where)
    velocity = Field(load_model(args.model, where)[0], params.precision)
    space = Space(data, open_space(args.space / TRAIN, latents, where))
    reconstructions = space.reconstructions
    others = {HELDOUT: heldout.real} | ({} if reconstructions is None else {RECONSTRUCTIONS: reconstructions})
    reference = Reference(data, networks, classifier, params, others)
    evaluation = Evaluation(velocity, data, heldout, reference, params, args.seed, space)
    with open_workspace(args, params, latents) as workspace:
        drive(Resumable(evaluation, workspace), "evaluate")
        if not world().first:
            return
        real = floor(data, heldout, networks, classifier, params, reconstructions) if args.floor else []
        result = {
            "measurements": [asdict(m) for m in [*evaluation.measurements, *real]],
            "left_out": evaluation.left_out,
            "spectrum": evaluation.spectrum,
            "real_spectrum": real_spectrum(data) if args.floor else [],
            "training": load_facts(args.model),
            "classifier_accuracy": accuracy,
        }
        with atomic(args.out) as temporary:
            temporary.mkdir()
            write_json(temporary / METRICS_FILE, result)
            write_tensors(temporary / SAMPLES_FILE, evaluation.samples, {"shape": list(data.shape)})


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--seed", type=int, required=True)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--heldout", type=Path, required=True, help="images that no model was trained on")
PARSER.add_argument("--space", type=Path, required=True, help="folder of what models are trained on: images or latents")
PARSER.add_argument("--features", type=Path, required=True)
PARSER.add_argument("--model", type=Path, required=True, help="model folder")
PARSER.add_argument("--floor", action="store_true", help="measure real images against real images too")
PARSER.add_argument("--out", type=Path, required=True, help="evaluation folder")

if __name__ == "__main__":
    run_stage(main, PARSER, spread=True)
