"""One thin script per DVC stage: arguments, typed parameters, one library call, outputs."""

import sys

from reflowbench.core.start import begin

if (
    sys.argv[0] == "-m"
):  # `python -m stages.NAME` is about to import NAME; no other process that imports this is a stage
    begin()
