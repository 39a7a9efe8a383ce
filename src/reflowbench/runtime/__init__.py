"""Files, locks, checkpoints, processes, devices, parameters and messages. No number depends on what is here."""
