"""Parameters and scores of flows, made up."""

from reflowbench.theory.params import TheoryGaussianParams

OPTIM = {"steps": 12, "batch": 32, "lr": 5e-3, "schedule": "cosine", "warmup": 0, "ema": 0.9, "clip": 1.0}
OPTIM |= {"loss": "mse", "times": "uniform"}


def gaussian_params(**changes):
    values = {"seeds": [0], "targets": ["gaussian", "mixture"], "dims": [2], "points": 128, "rounds": 2}
    values |= {"network": {"name": "mlp", "hidden": 16, "blocks": 1, "time_features": 4}, "base": OPTIM}
    values |= {"round": OPTIM | {"steps": 4}, "pairs": {"n": 64, "solver": "heun", "steps": 2}, "n_samples": 64}
    values |= {"solver": "euler", "nfe": [1, 4], "projections": 4, "trajectories": 5}
    return TheoryGaussianParams.model_validate(values | changes)


def flow_rows(broken=""):
    """Bures 0 of real samples, 1 of the base, 2 + round / 2 of the methods, 100 more at NFE 1; the same of the rest.

    A broken method has no values for the Gaussian, seed 1, from round 1 on.
    """
    rows = []
    for target in ("gaussian", "mixture"):
        metrics = ["bures", "sliced_wasserstein", "variance_ratio"]
        metrics += ["mode_weight_error"] if target == "mixture" else []
        for seed in (0, 1):
            for metric in metrics:
                common = {"target": target, "dim": 2, "seed": seed, "metric": metric, "missing": None}
                rows.append(common | {"method": "real", "round": 0, "nfe": 0, "value": 0.5})
                for nfe, more in ((1, 100.0), (4, 0.0)):
                    rows.append(common | {"method": "base", "round": 0, "nfe": nfe, "value": 1 + more})
                    for method in ("reflow", "ot"):
                        for k in (1, 2):
                            row = common | {"method": method, "round": k, "nfe": nfe, "value": 2 + k / 2 + more}
                            if method == broken and target == "gaussian" and seed == 1:
                                row |= {"value": None, "missing": "training diverged"}
                            rows.append(row)
            for method, made in (("reflow", 64.0), ("ot", 0.0)):
                cost = {"target": target, "dim": 2, "seed": seed, "metric": "forward_evaluations", "missing": None}
                rows.append(cost | {"method": method, "round": 1, "nfe": 0, "value": made})
    return rows
