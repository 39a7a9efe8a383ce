"""train_features: the classifier whose features the quality metrics use."""

import argparse
from pathlib import Path

from reflowbench.data.images import ImageSet
from reflowbench.metrics.features import classifier
from reflowbench.runtime.config import load_group
from reflowbench.runtime.params import FeaturesParams
from reflowbench.runtime.resume import Resumable
from reflowbench.runtime.stage import drive, run_stage, set_threads
from reflowbench.runtime.workspace import open_workspace

GROUPS = (FeaturesParams,)


def main(args: argparse.Namespace) -> None:
    """Train, score on held-out images, write the weights with the score."""
    set_threads()
    params = load_group(FeaturesParams, args.params)
    data = ImageSet.load(args.data)
    training = classifier.ClassifierTraining(data, params)
    with open_workspace(args, params) as workspace:
        drive(Resumable(training, workspace), "features")
        accuracy = training.accuracy(ImageSet.load(args.heldout))
        classifier.save(args.out, training.network, data, params, accuracy)
    print(f"accuracy on held-out images: {accuracy:.4f}")


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--heldout", type=Path, required=True, help="images that the classifier is scored on")
PARSER.add_argument("--out", type=Path, required=True)

if __name__ == "__main__":
    run_stage(main, PARSER)
