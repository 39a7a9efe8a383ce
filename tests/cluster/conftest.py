import os
from importlib.util import find_spec

import pytest

from tests.cluster import slurm_node


@pytest.fixture(scope="module")
def slurm():
    """A SLURM of one node; starting it takes seconds."""
    reason = slurm_node.missing() or ("" if find_spec("submitit") else "no submitit: `make install`")
    if reason:
        (pytest.fail if "CI" in os.environ else pytest.skip)(reason)
    node = slurm_node.Node()
    try:
        yield node
    finally:
        node.stop()
