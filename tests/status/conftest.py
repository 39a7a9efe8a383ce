import subprocess
import sys

import pytest
import yaml

# Two rounds of two methods in names as the real pipeline's; `all` is a block of parameters, as of a method.
PIPELINE = {
    "stages": {
        "train_base": {
            "matrix": {"seed": "${seeds}"},
            "cmd": "sh -c 'cp code.txt base-${item.seed}'",
            "deps": ["code.txt"],
            "outs": ["base-${item.seed}"],
        },
        "reflow": {
            "matrix": {"method": ["reflow", "rca"], "seed": "${seeds}", "after": "${rounds}"},
            "cmd": "sh -c 'cp base-${item.seed} ${item.method}-${item.seed}-${item.after.k}'",
            "deps": ["base-${item.seed}"],
            "params": ["methods.${item.method}"],
            "outs": ["${item.method}-${item.seed}-${item.after.k}"],
        },
        "evaluate": {
            "matrix": {"method": ["reflow", "rca"], "seed": "${seeds}", "k": [1, 2]},
            "cmd": "sh -c 'cp ${item.method}-${item.seed}-${item.k} measured-${item.method}-${item.seed}-${item.k}'",
            "deps": ["${item.method}-${item.seed}-${item.k}"],
            "outs": ["measured-${item.method}-${item.seed}-${item.k}"],
        },
    }
}
PARAMS = {
    "seeds": [0],
    "rounds": [{"k": 1, "prev": 0}, {"k": 2, "prev": 1}],
    "methods": {"reflow": {}, "rca": {"real_fraction": 0.5, "alpha": 1}},
}


class Pipeline:
    """A pipeline of trivial stages in the working folder."""

    def __init__(self, folder):
        self.folder = folder
        self.params = PARAMS
        (folder / "code.txt").write_text("code")
        self.write()
        for command in ("init --no-scm --quiet", "config core.analytics false", "repro --quiet"):
            subprocess.run([sys.executable, "-m", "dvc", *command.split()], cwd=folder, check=True)

    def write(self, pipeline=PIPELINE):
        (self.folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.params))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Run once for all tests of a file, which get copies."""
    return Pipeline(tmp_path_factory.mktemp("pipeline"))
