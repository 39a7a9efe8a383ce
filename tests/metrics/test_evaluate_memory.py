"""What an evaluation keeps of its samples is a byte a value, of one NFE at a time."""

import subprocess
import sys

import pytest
import torch

from reflowbench.data.images import ImageSet
from reflowbench.data.packed import PackedImages
from reflowbench.metrics import memorization, neighbours
from reflowbench.metrics.memorization import closer_to_training, nearest_distance
from tests.metrics.test_evaluate import OF_IMAGES, evaluate

PROGRAM = """
import resource, sys, psutil, torch
from reflowbench import profiles
from reflowbench.data.images import ImageSet
from reflowbench.data.packed import PackedImages
from reflowbench.runtime.params import EvaluateParams
from reflowbench.metrics import evaluate, neighbours
from reflowbench.metrics.features.classifier import Classifier
from reflowbench.metrics.reference import Reference

n, shape = int(sys.argv[1]), (3, 16, 16)
neighbours.MOST = evaluate.MOST = 256  # quadratic up to there, whatever n is
values = profiles.resolve("tiny")["evaluate"] | {"n_samples": n, "nfe": [1, 2, 3], "features": ["classifier"]}
params = EvaluateParams(**values | {"groups": 2, "inversion_images": 8})
levels = torch.randint(256, (300, 768), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
data = ImageSet(PackedImages(levels, 256), torch.arange(300) % 10, shape, 256, False)
classifier = Classifier(shape, 10, 8).eval()
reference = Reference(data, [classifier], classifier, params)
evaluation = evaluate.Evaluation(lambda x, t: -x / 2, data, data, reference, params, 0)
before, kept = psutil.Process().memory_info().rss, 0
for part in evaluation:
    tensors, _ = evaluation.state()
    kept = max(kept, sum(t.numel() * t.element_size() for t in tensors.values()))
    if part == "inversion":
        break
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before, kept)
"""


def test_what_is_kept_of_samples_is_a_byte_a_value(images, network, heldout, classifier):
    """And the state that a killed run leaves: no more than the samples of one NFE, whatever the number of NFEs."""
    found = evaluate(network, images, heldout, classifier, n_samples=300)
    tensors, _ = found.state()
    levels = sum(t.numel() for name, t in tensors.items() if t.dtype == torch.uint8)
    assert levels == 300 * images.dim
    assert not [t for t in tensors.values() if t.dtype == torch.float32 and len(t) > 256]


@pytest.mark.slow
@pytest.mark.long
def test_memory_grows_with_the_samples_by_bytes_and_not_by_nfe():
    """At its peak, over three NFEs: twice the bytes of the images, and features. In float32: 3 kB at least."""
    peaks = {}
    for n in (4096, 16384):
        command = [sys.executable, "-c", PROGRAM, str(n)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[n], kept = map(int, result.stdout.split())
        assert n * 768 < kept < 1.2 * n * 768 + 10**6
    assert (peaks[16384] - peaks[4096]) / (16384 - 4096) < 3 * 768


def test_distances_in_blocks_are_the_distances(monkeypatch):
    draw = torch.Generator().manual_seed(0)
    samples, training, heldout = (torch.randn(n, 5, generator=draw) for n in (90, 70, 30))
    whole = nearest_distance(samples, training), closer_to_training(samples, training, heldout)
    monkeypatch.setattr(memorization, "_REFERENCES", 16)
    monkeypatch.setattr(memorization, "_DISTANCES", 100)
    assert torch.allclose(nearest_distance(samples, training), whole[0])
    assert closer_to_training(samples, training, heldout) == whole[1]


def test_quadratic_metrics_use_the_first_images_and_say_so(images, network, heldout, classifier, monkeypatch):
    monkeypatch.setattr(neighbours, "MOST", 20)
    monkeypatch.setattr("reflowbench.metrics.evaluate.MOST", 25)
    found = {m.metric: m for m in evaluate(network, images, heldout, classifier).measurements}
    assert {found[name].n_samples for name in (*neighbours.METRICS, "kernel_distance", *OF_IMAGES)} == {20}
    assert found["nearest_training_distance"].n_samples == found["closer_to_training"].n_samples == 25
    assert found["frechet_distance"].n_samples == 30


def test_packed_images_score_what_images_score(images, network, heldout, classifier):
    """The same set of 256 levels, once in bytes and once as float32."""
    levels = torch.randint(256, (40, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    packed = ImageSet(PackedImages(levels, 256), images.labels, images.shape, 256, False)
    plain = ImageSet(packed.images[:], images.labels, images.shape, 256, False)
    first, second = (evaluate(network, data, heldout, classifier) for data in (packed, plain))
    assert first.measurements == second.measurements and first.spectrum == second.spectrum


def test_the_adaptive_solver_takes_samples_in_groups(images, network, heldout, classifier, monkeypatch):
    """A group is what it would be alone; its NFE counts as often as it has samples."""
    monkeypatch.setattr("reflowbench.metrics.evaluate.ADAPTIVE_ROWS", 20)
    both = evaluate(network, images, heldout, classifier, n_samples=30)
    first = evaluate(network, images, heldout, classifier, n_samples=20)
    assert torch.equal(both.samples["dopri5"], first.samples["dopri5"])
    nfe = {m.nfe for m in both.measurements if m.solver == "dopri5"}
    assert len(nfe) == 1 and min(nfe) > 6
