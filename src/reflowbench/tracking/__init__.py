"""Mirror of the pipeline in MLflow, made from dvc.lock and what it names; no training stage depends on it.

Without MLflow: `lock` reads dvc.lock, `state` that of any revision, `contents` finds the data it names, `attempts` what
the sidecar tells of runs on this machine, `records` and `artifacts` say what is logged about a stage, `store` where.
With it: `session` opens the store, `mirror` and `live_runs` write to it, `models` registers the best model. `sync`
brings all together; `live` shows a training while it goes on.
"""
