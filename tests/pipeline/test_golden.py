"""The tiny run gives the same bytes as ever: files that no stage depends on, such as runtime/, change no number."""

import json

import pytest

from tests.pipeline import golden

pytestmark = pytest.mark.slow

REMEDY = "`python -m tests.pipeline.golden` writes the hashes of this machine"


def test_every_output_has_the_committed_hash(first):
    committed, key = json.loads(golden.FILE.read_text(encoding="utf-8")), golden.key()
    if key not in committed:
        pytest.skip(f"no hashes of {key} in tests/pipeline/golden.json; {REMEDY}")
    expected, found = committed[key], golden.hashes(first[0])
    different = [path for path in sorted(expected | found) if expected.get(path) != found.get(path)]
    assert not different, f"{', '.join(different)}: not the committed bytes. If that is meant, {REMEDY}"
