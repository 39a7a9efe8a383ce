"""A bit that turned in DVC's cache: found before anything is computed from it, and made anew."""

import os
import shutil
from pathlib import Path
from random import Random

from tests.chaos.bench import Bench
from tests.chaos.outcome import Outcome


def flipped_bit(bench: Bench, maker: str, name: str, reader: str, rng: Random) -> Outcome:
    """Flip a bit of one file of a stage's output in the cache, and let DVC bring it into the workspace.

    Args:
        bench: The project.
        maker: Stage that makes the file.
        name: The file.
        reader: Stage that reads it.
        rng: Which bit.
    """
    outcome = Outcome("a bit flipped in DVC's cache", times=1)
    where = f"a bit flipped in {name}"
    object_ = _cache_object(bench, name)
    _flip(object_, rng)
    for out in bench.outs(maker):
        path = bench.folder / out
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    restored = bench.launch("dvc", "repro", "--single-item", maker)
    restored.wait()
    outcome.counts["restored by DVC without a word"] += (bench.folder / name).exists()
    verify = bench.launch("reflowbench", "verify")
    # It names outputs as dvc.lock does, by their folders.
    named = verify.wait() == 1 and object_.relative_to(bench.folder / ".dvc").as_posix() in verify.text
    named = named and any(out in verify.text for out in bench.outs(maker) if name.startswith(out))
    outcome.require(named, f"{where}: verify does not name it", verify)
    outcome.counts["named by verify"] += named
    if (bench.folder / name).exists():
        bench.forget(reader)
        run = bench.launch_stage(reader)
        refused = run.wait() and name in run.text and "Traceback" not in run.text
        outcome.require(bool(refused), f"{where}: {reader} does not refuse it", run)
        outcome.counts["refused by the stage that reads it"] += bool(refused)
    repair = bench.launch("reflowbench", "verify", "--repair")
    repair.wait()
    again = bench.launch("dvc", "repro", *bench.targets)
    outcome.finish(bench, bench.expected, again, f"{where}, repaired")
    verify = bench.launch("reflowbench", "verify")
    outcome.require(verify.wait() == 0, f"{where}: verify finds damage after the repair", verify)
    return outcome


def _cache_object(bench: Bench, name: str) -> Path:
    digest = next(files[name] for files in bench.expected.values() if name in files)
    assert digest is not None
    return bench.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def _flip(path: Path, rng: Random) -> None:
    """Flip a bit as a disk does: no time and no permission of the file changes."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
