"""control_damage: what the metrics make of real images that are damaged in known ways."""

import argparse
from pathlib import Path

from reflowbench.controls.damage.control import DamageControl, pooled
from reflowbench.controls.damage.damages import DamageParams
from reflowbench.controls.damage.report import markdown, to_csv
from reflowbench.data.images import ImageSet
from reflowbench.metrics.features.classifier import load
from reflowbench.runtime.artifacts import write_text
from reflowbench.runtime.config import load_group, parse, read_yaml
from reflowbench.runtime.params import EvaluateParams
from reflowbench.runtime.stage import drive, run_stage, set_threads

GROUPS = (EvaluateParams,)  # of params.yaml; the group `damage` is in a file of its own


def main(args: argparse.Namespace) -> None:
    """Damage, measure, write the table and the report."""
    set_threads()
    evaluate = load_group(EvaluateParams, args.params)
    params = parse(DamageParams, read_yaml(args.controls).get("damage"), "damage.", str(args.controls))
    data = pooled(ImageSet.load(args.data), ImageSet.load(args.heldout))
    classifier, _ = load(args.features)
    control = DamageControl(data, classifier, evaluate, params)
    drive(control, "damage")
    changes = control.changes()
    write_text(args.table, to_csv(changes))
    write_text(args.report, markdown(changes, params))
    print(f"not as expected: {sum(c.verdict == 'not as expected' for c in changes)} of {len(changes)} cells")


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--data", type=Path, required=True)
PARSER.add_argument("--heldout", type=Path, required=True, help="images that no model was trained on")
PARSER.add_argument("--features", type=Path, required=True)
PARSER.add_argument("--controls", type=Path, required=True, help="parameter file of the controls")
PARSER.add_argument("--table", type=Path, required=True, help="CSV file")
PARSER.add_argument("--report", type=Path, required=True, help="Markdown file")

if __name__ == "__main__":
    run_stage(main, PARSER, outputs=("table", "report"))
