"""Ours and a peer's way of doing the same, in turn in one process. `python -m benchmarks` runs them all."""
