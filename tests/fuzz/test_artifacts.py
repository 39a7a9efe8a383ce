"""Files that stages hand to each other: no bit turns and no byte is missing without a message that names the file."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reflowbench.data.images import ImageSet
from reflowbench.errors import ReflowbenchError
from reflowbench.networks.model import load_model, save_model
from reflowbench.networks.registry import build
from reflowbench.pairs.store import Manifest, StoredHalf, write_pairs
from reflowbench.runtime.artifacts import read_json, read_tensors, write_json, write_tensors
from reflowbench.runtime.seal import BLANK, sealed
from tests.conftest import NETWORK


def refused(read, path, data):
    """Put bytes in the place of a file; reading must fail with its name."""
    path.write_bytes(data)
    with pytest.raises(ReflowbenchError, match=path.name):
        read()


def every_bit(data):
    for position in range(len(data)):
        for bit in range(8):
            yield data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


def test_every_bit_and_every_length_of_small_files(folder):
    tensors, values = folder / "x.safetensors", folder / "x.json"
    write_tensors(tensors, {"a": torch.arange(3.0)}, {"b": [1, "é"]})
    write_json(values, {"a": 1, "b": [0.5, None]})
    for read, path in ((read_tensors, tensors), (read_json, values)):
        whole = path.read_bytes()
        for data in [*every_bit(whole), *(whole[:end] for end in range(len(whole)))]:
            refused(lambda read=read, path=path: read(path), path, data)
        path.write_bytes(whole)
        read(path)


@pytest.fixture
def made(folder):
    """A folder of each kind, with what reads it and the names of its files."""
    rows = torch.randn(600, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    write_pairs(folder / "pairs", Manifest("synthetic", 0, 1, 600, 8, 0), lambda start: rows[start:].split(256), 256)
    save_model(folder / "model", build(NETWORK, (1, 2, 4), 0), NETWORK, (1, 2, 4), {"updates": 3.0}, lambda path: None)
    ImageSet(rows, torch.arange(600) % 3, (1, 2, 4), 17, True).save(folder / "images/train.safetensors")
    return {
        "pairs": lambda: StoredHalf(folder / "pairs"),
        "model": lambda: (load_model(folder / "model"), read_json(folder / "model/train.json")),
        "images": lambda: ImageSet.load(folder / "images/train.safetensors"),
    }


@settings(max_examples=300)
@given(data=st.data())
def test_no_turned_bits_and_no_cut_pass(made, folder, data):
    kind = data.draw(st.sampled_from(sorted(made)))
    made[kind]()
    path = data.draw(st.sampled_from(sorted((folder / kind).iterdir())))
    whole = path.read_bytes()
    changed = bytearray(whole)
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=3, unique=True)):
        changed[position] ^= 1 << data.draw(st.integers(0, 7))
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(0, len(whole) - 1)) :]
    refused(made[kind], path, bytes(changed))
    path.write_bytes(whole)


@settings(max_examples=300)
@given(data=st.data())
def test_any_bytes(made, folder, data):
    """With a right checksum, too: what somebody has made on purpose."""
    kind = data.draw(st.sampled_from(sorted(made)))
    path = data.draw(st.sampled_from(sorted((folder / kind).iterdir())))
    whole = path.read_bytes()
    content = data.draw(st.binary(max_size=200))
    if data.draw(st.booleans()):
        content = b"".join(map(bytes, sealed(content + f'"checksum": "{BLANK}"'.encode())))
    refused(made[kind], path, content)
    path.write_bytes(whole)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200)
@given(key=st.sampled_from(["kind", "seed", "round", "count", "dim", "evaluations", "shard_rows", "more"]), value=JSON)
def test_a_manifest_with_another_value_is_refused(made, folder, key, value):
    """It says what the shards are; `evaluations` is all that they do not know."""
    path = folder / "pairs/manifest.json"
    whole = path.read_bytes()
    facts = read_json(path)
    if facts.get(key) == value and type(facts.get(key)) is type(value):
        return
    write_json(path, facts | {key: value})
    if key == "evaluations" and type(value) is int and value >= 0:
        assert made["pairs"]().manifest.evaluations == value
    else:
        with pytest.raises(ReflowbenchError, match=r"manifest\.json|shard-0000"):
            made["pairs"]()
    path.write_bytes(whole)


def test_swapped_shards_and_shards_of_other_pairs_are_refused(made, folder):
    """Each has a right checksum and the right shape."""
    first, second = (folder / f"pairs/shard-0000{i}.safetensors" for i in range(2))
    shutil.copy(first, folder / "first")
    second.rename(first)
    (folder / "first").rename(second)
    with pytest.raises(ReflowbenchError, match=r"shard-00000.safetensors: is of .*'shard': 1.*'shard': 0"):
        made["pairs"]()
    rows = torch.zeros(600, 8)
    write_pairs(folder / "other", Manifest("synthetic", 1, 1, 600, 8, 0), lambda start: rows[start:].split(256), 256)
    shutil.copy(folder / "other/shard-00000.safetensors", first)
    with pytest.raises(ReflowbenchError, match=r"shard-00000.safetensors: is of .*'seed': 1"):
        made["pairs"]()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"x": torch.full((256, 8), 1.5)}, "values that no synthetic pair has"),
        ({"x": torch.full((256, 8), float("nan"))}, "values that no synthetic pair has"),
        ({"x": torch.zeros(256, 8, dtype=torch.float64)}, "of torch.float64 where the manifest says"),
        ({"x": torch.zeros(255, 8)}, r"\(255, 8\) values"),
        ({"y": torch.zeros(256, 8)}, r"\(0,\) values"),
    ],
)
def test_shards_of_other_types_shapes_and_ranges_are_refused(made, folder, tensors, message):
    facts = {"kind": "synthetic", "seed": 0, "round": 1, "shard": 0}
    write_tensors(folder / "pairs/shard-00000.safetensors", tensors, facts)
    with pytest.raises(ReflowbenchError, match=f"shard-00000.safetensors: holds .*{message}|{message}"):
        made["pairs"]()


@pytest.mark.parametrize(
    "change",
    [
        {"images": torch.full((600, 8), 2.0)},
        {"images": torch.full((600, 8), float("nan"))},
        {"images": torch.zeros(600, 8, dtype=torch.float64)},
        {"images": torch.zeros(599, 8)},
        {"labels": torch.full((600,), -1)},
        {"labels": torch.zeros(600)},
        {"images": torch.zeros(0, 8), "labels": torch.zeros(0, dtype=torch.int64)},
    ],
)
def test_images_of_other_types_shapes_and_ranges_are_refused(made, folder, change):
    path = folder / "images/train.safetensors"
    tensors, facts = read_tensors(path)
    write_tensors(path, tensors | change, facts)
    with pytest.raises(ReflowbenchError, match=r"train.safetensors: .*delete it and run `dvc repro`"):
        made["images"]()
