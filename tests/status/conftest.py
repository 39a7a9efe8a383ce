import subprocess
import sys

import pytest
import yaml

# Two rounds of two methods in files and names as the real pipeline's; an entry of `methods` is a block of parameters.
PIPELINE = {
    "stages": {
        "train_base": {
            "matrix": {"seed": "${seeds}"},
            "cmd": "sh -c 'cp code.txt base-${item.seed}'",
            "deps": ["code.txt"],
            "outs": ["base-${item.seed}"],
        },
        "evaluate": {
            "matrix": {"method": "${evaluated}", "seed": "${seeds}", "round": "${rounds}"},
            "cmd": "sh -c 'cp ${item.method}-${item.seed}-${item.round} "
            "measured-${item.method}-${item.seed}-${item.round}'",
            "deps": ["${item.method}-${item.seed}-${item.round}"],
            "outs": ["measured-${item.method}-${item.seed}-${item.round}"],
        },
    }
}
PARAMS = {
    "seeds": [0],
    "evaluated": ["reflow", "rca"],
    "rounds": [1, 2],
    "methods": {"reflow": {}, "rca": {"real_fraction": 0.5, "alpha": 1}},
}


def round_of(number):
    """The dvc.yaml of a round, which starts from the one before."""
    start = f"${{item.method}}-${{item.seed}}-{number - 1}" if number > 1 else "base-${item.seed}"
    made = f"${{item.method}}-${{item.seed}}-{number}"
    stage = {
        "wdir": "../..",
        "matrix": {"method": ["reflow", "rca"], "seed": "${seeds}", "round": [number]},
        "cmd": f"sh -c 'cp {start} {made}'",
        "deps": [start],
        "params": ["methods.${item.method}"],
        "outs": [made],
    }
    return {"vars": ["../../params.yaml"], "stages": {"reflow": stage}}


class Pipeline:
    """A pipeline of trivial stages in the working folder."""

    def __init__(self, folder):
        self.folder = folder
        self.params = PARAMS
        (folder / "code.txt").write_text("code")
        for number in PARAMS["rounds"]:
            (folder / f"rounds/{number}").mkdir(parents=True)
            (folder / f"rounds/{number}/dvc.yaml").write_text(yaml.safe_dump(round_of(number), sort_keys=False))
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
