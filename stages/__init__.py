"""One thin script per DVC stage: arguments, typed parameters, one library call, outputs."""

import sys
from pathlib import Path

# The code beside this folder goes before an installed one: `dvc exp run --queue` runs stages in a copy of the
# repository, where the environment still names the original, which may have been edited since.
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from reflowbench.runtime.start import begin

begin()
