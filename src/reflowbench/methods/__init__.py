"""Methods by name: files of `couplings/`, entries of `methods` in params.yaml, stages of their rounds."""
