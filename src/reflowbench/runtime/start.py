"""What the process of a stage does before it imports anything else.

Numerical libraries read their number of threads when they are loaded, and importing torch makes a million objects that
the garbage collector walks through again and again, though none of them will ever be garbage.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys

from reflowbench.errors import ReflowbenchError

THREADS_VARIABLE = "REFLOWBENCH_THREADS"
LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def threads() -> int | None:
    """Thread count that REFLOWBENCH_THREADS asks for; None if it is not set.

    Results are the same bytes for the same machine and thread count, so the count comes from the environment and is no
    parameter.

    Returns:
        At least 1, or None.

    Raises:
        ReflowbenchError: If the variable is not a positive integer.
    """
    value = os.environ.get(THREADS_VARIABLE)
    if value is None:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise ReflowbenchError(f"environment variable {THREADS_VARIABLE} = {value!r}: want a positive integer")
    return int(value)


def begin() -> None:
    """Fix the threads of libraries that are not loaded yet, and leave garbage alone until `imported`.

    Only in `python -m stages.NAME`, which is about to import NAME: any other process that imports it is no stage.
    """
    if sys.argv[0] != "-m":
        return
    try:
        count = threads()
    except ReflowbenchError:
        count = None  # the stage will say so
    if count is not None:
        os.environ.update(dict.fromkeys(LIBRARIES, str(count)))
    gc.disable()
    atexit.register(gc.freeze)  # or the interpreter walks through everything once more


def imported() -> None:
    """Collect garbage from now on, but never look at what the imports made. Only after `begin`."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
