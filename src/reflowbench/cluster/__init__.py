"""Independent parts of the pipeline side by side, on this machine or on SLURM (`reflowbench launch`)."""
