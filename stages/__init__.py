"""One thin script per DVC stage: arguments, typed parameters, one library call, outputs."""

from reflowbench.core.start import begin

begin()
