"""What things take: beside a peer, by size, and in parts. `python -m benchmarks` runs all."""
