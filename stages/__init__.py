"""One thin script per DVC stage: arguments, typed parameters, one library call, outputs."""

from reflowbench.runtime.start import begin

begin()
