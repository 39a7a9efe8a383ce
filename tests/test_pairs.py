import subprocess
import sys

import pytest
import torch

from reflowbench.data.blocks import BLOCK, in_blocks
from reflowbench.errors import ReflowbenchError
from reflowbench.flow.solvers import solve
from reflowbench.pairs.generate import inverted_pairs, synthetic_pairs
from reflowbench.pairs.store import Manifest, PairWriter, StoredHalf, synthetic_noise, write_pairs
from reflowbench.runtime.artifacts import read_json, write_json
from tests.conftest import PAIRS


def stored(folder, manifest, blocks, **kwargs):
    write_pairs(folder, manifest, blocks, **kwargs)
    half = StoredHalf(folder)
    return half.rows(torch.arange(len(half)))


def test_synthetic_pairs_do_not_depend_on_how_many_are_made_or_how_they_are_batched(tmp_path, network):
    def first(n, name):
        params = PAIRS.model_copy(update={"n": n})
        return stored(tmp_path / name, *synthetic_pairs(network, params, 0, 1, 16))

    many = first(3 * BLOCK + 10, "many")
    assert torch.equal(first(BLOCK + 1, "few"), many[: BLOCK + 1])
    assert torch.equal(first(7, "seven"), many[:7])
    # ... nor on the position within a block
    z = synthetic_noise(0, 1, range(100, 103), 16)
    ((block, rows),) = in_blocks(z)
    assert torch.equal(solve(network, block, PAIRS.solver, PAIRS.steps)[:rows].clamp(-1, 1), many[100:103])


def test_a_synthetic_pair_is_noise_and_its_image(tmp_path, network):
    x1 = stored(tmp_path / "p", *synthetic_pairs(network, PAIRS, 4, 2, 16))
    x0 = synthetic_noise(4, 2, range(PAIRS.n), 16)
    assert torch.allclose(x1, solve(network, x0, PAIRS.solver, PAIRS.steps).clamp(-1, 1), atol=1e-5)
    assert x1.abs().max() <= 1


def test_an_inverted_pair_is_an_image_and_its_noise_unclipped(tmp_path, network, images):
    x0 = stored(tmp_path / "p", *inverted_pairs(network, images.images * 5, PAIRS, 4, 2))
    expected = solve(network, images.images * 5, PAIRS.solver, PAIRS.steps, backward=True)
    assert torch.allclose(x0, expected, atol=1e-4)
    assert x0.abs().max() > 1


def test_the_cost_is_counted(network, images):
    heun = PAIRS.model_copy(update={"solver": "heun"})
    assert synthetic_pairs(network, PAIRS, 0, 1, 16)[0].evaluations == 300 * 3
    assert inverted_pairs(network, images.images, heun, 0, 1)[0].evaluations == 40 * 3 * 2


@pytest.mark.parametrize("shard_rows", [1, 7, 10, 64])
def test_shards_are_one_sequence_of_rows(tmp_path, shard_rows):
    rows = torch.randn(23, 4)
    manifest = Manifest("inverted", 0, 1, 23, 4, 0)
    write_pairs(tmp_path / "p", manifest, lambda start: rows[start:].split(5), shard_rows)
    half = StoredHalf(tmp_path / "p")
    index = torch.tensor([22, 0, 7, 7, 13])
    assert torch.equal(half.rows(index), rows[index])
    assert len(list((tmp_path / "p").glob("shard-*"))) == -(-23 // shard_rows)


@pytest.mark.parametrize("damage", ["flipped", "empty", "gone"])
def test_a_run_that_goes_on_makes_a_damaged_shard_again(tmp_path, damage, capsys):
    """And what comes after it, which was counted as done."""
    rows = torch.randn(5 * BLOCK, 4)
    manifest = Manifest("inverted", 0, 1, len(rows), 4, 0)
    asked = []

    def writer(folder):
        def blocks(start):
            asked.append(start)
            return rows[start:].split(BLOCK)

        return PairWriter(folder, manifest, blocks, shard_rows=BLOCK)

    list(writer(tmp_path / "whole"))
    killed = writer(tmp_path / "p")
    for done in killed:
        if done == 4 * BLOCK:
            break
    state = killed.state()
    shard = tmp_path / "p/shard-00001.safetensors"
    data = shard.read_bytes()
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(b"" if damage == "empty" else data[:-1] + bytes([data[-1] ^ 1]))
    resumed = writer(tmp_path / "p")
    resumed.restore(*state)
    assert resumed.done == 1 and "made again from there on" in capsys.readouterr().err
    list(resumed)
    assert asked[-1] == BLOCK
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "p" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("damage", ["cut", "gone", "shorter"])
def test_a_damaged_shard_is_named(tmp_path, damage):
    write_pairs(tmp_path / "p", Manifest("inverted", 0, 1, 20, 4, 0), lambda start: [torch.randn(20, 4)], shard_rows=10)
    shard = tmp_path / "p" / "shard-00001.safetensors"
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-20])
    elif damage == "gone":
        shard.unlink()
    else:
        write_pairs(
            tmp_path / "q", Manifest("inverted", 0, 1, 15, 4, 0), lambda start: [torch.randn(15, 4)], shard_rows=10
        )
        shard.write_bytes((tmp_path / "q" / "shard-00001.safetensors").read_bytes())
    with pytest.raises(ReflowbenchError, match=r"shard-00001.safetensors: .*dvc repro"):
        StoredHalf(tmp_path / "p")


def test_a_diverged_flow_writes_nothing(tmp_path):
    blocks = [torch.ones(5, 2), torch.full((5, 2), float("nan"))]
    with pytest.raises(ReflowbenchError, match="non-finite values while making synthetic pairs of round 1"):
        write_pairs(tmp_path / "p", Manifest("synthetic", 0, 1, 10, 2, 0), lambda start: blocks)
    assert not list(tmp_path.iterdir())


def test_missing_rows_are_noticed(tmp_path):
    with pytest.raises(ReflowbenchError, match="5 synthetic pairs were made where 10 were asked for"):
        write_pairs(tmp_path / "p", Manifest("synthetic", 0, 1, 10, 2, 0), lambda start: [torch.ones(5, 2)])


def half_of(folder, count, dim, storage, kind="synthetic", shard_rows=64):
    rows = torch.rand(count, dim, generator=torch.Generator().manual_seed(0)) * 2 - 1
    manifest = Manifest(kind, 0, 1, count, dim, 0, storage)
    write_pairs(folder, manifest, lambda start: rows[start:].split(50), shard_rows)
    return rows, StoredHalf(folder)


def test_half_storage_halves_the_disk_and_rounds_to_it(tmp_path):
    """Of images in 256 grey levels the rounding is less than an eighth of a level."""
    sizes = {}
    for storage in ("float32", "float16"):
        rows, half = half_of(tmp_path / storage, 300, 768, storage)
        sizes[storage] = sum(file.stat().st_size for file in (tmp_path / storage).iterdir())
        read = half.rows(torch.arange(300))
        assert read.dtype == torch.float32 and half.manifest.storage == storage
        assert torch.equal(read, rows.to(getattr(torch, storage)).float()) and read.abs().max() <= 1
        assert (read - rows).abs().max() < (2 / 255) / 8
    assert sizes["float16"] == pytest.approx(sizes["float32"] / 2, rel=0.01)
    assert sizes["float16"] / (300 * 768) * 500_000 * 3072 < 3.1e9


def test_a_manifest_in_full_storage_is_what_it_was_before_there_was_a_choice(tmp_path):
    half_of(tmp_path / "p", 20, 4, "float32")
    fields = {"kind", "seed", "round", "count", "dim", "evaluations", "shard_rows"}
    assert set(read_json(tmp_path / "p/manifest.json")) == fields
    half_of(tmp_path / "q", 20, 4, "float16")
    assert set(read_json(tmp_path / "q/manifest.json")) == fields | {"storage"}


def test_what_half_storage_cannot_hold_is_refused(tmp_path):
    manifest = Manifest("inverted", 0, 1, 4, 2, 0, "float16")
    with pytest.raises(ReflowbenchError, match="non-finite values"):
        write_pairs(tmp_path / "p", manifest, lambda start: [torch.full((4, 2), 70_000.0)])


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_pairs_of_another_storage_than_the_manifest_says_are_refused(tmp_path, storage):
    half_of(tmp_path / "p", 20, 4, storage)
    path = tmp_path / "p/manifest.json"
    other = {"float16": "float32", "float32": "float16"}[storage]
    write_json(path, read_json(path) | {"storage": other})
    with pytest.raises(ReflowbenchError, match=f"of torch.{storage} where the manifest says .* of torch.{other}"):
        StoredHalf(tmp_path / "p")
    write_json(path, read_json(path) | {"storage": "int8"})
    with pytest.raises(ReflowbenchError, match="not a pair manifest"):
        StoredHalf(tmp_path / "p")


def test_unbounded_pairs_are_not_clipped(tmp_path, network):
    """As of latents. The same flow, clipped and not."""
    kept = {}
    for clip in (False, True):
        made = synthetic_pairs(network, PAIRS.model_copy(update={"clip": clip}), 0, 1, 16)
        kept[clip] = stored(tmp_path / str(clip), *made)
    assert kept[False].abs().max() > 1 and torch.equal(kept[False].clamp(-1, 1), kept[True])


def test_what_is_read_does_not_stay_in_memory(tmp_path):
    """All rows are drawn many times over, and none of them stays in memory."""
    program = f"""
import psutil, torch
from reflowbench.pairs import store
half = store.StoredHalf(__import__("pathlib").Path({str(tmp_path / "p")!r}))
process, peak = psutil.Process(), 0
half.rows(torch.arange(64))
before = process.memory_info().rss
for step in range(300):
    half.rows(torch.randint(len(half), (64,), generator=torch.Generator().manual_seed(step)))
    peak = max(peak, process.memory_info().rss - before)
print(peak)
"""
    rows = torch.zeros(2048, 8192)
    manifest = Manifest("synthetic", 0, 1, 8192, 8192, 0, "float16")
    write_pairs(tmp_path / "p", manifest, lambda start: [rows] * 4, 1024)
    size = sum(file.stat().st_size for file in (tmp_path / "p").iterdir())
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert size > 1.3e8 and int(found.stdout) < size / 10
