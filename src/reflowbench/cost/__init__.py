"""What a profile costs, before anything runs: updates, network evaluations, FLOPs, disk, memory and hours."""
