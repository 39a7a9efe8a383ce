"""Mirror of the pipeline in MLflow, made from dvc.lock and reports/; no training stage depends on it.

`lock` reads dvc.lock, `records` says what is logged about a stage, `store` finds the MLflow store,
`mirror` writes runs to it, `sync` brings them together. `best` chooses a model, `models` registers it,
`sampler` is the code that it is loaded with. Only `mirror`, `models` and `sampler` import MLflow.
"""
