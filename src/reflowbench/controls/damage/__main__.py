"""Copies the table of damages into the documentation; to be run in the repository's root."""

from pathlib import Path

from reflowbench.controls.damage.report import insert
from reflowbench.runtime.artifacts import write_text

PAGE, REPORT = Path("docs/metrics.md"), Path("reports/controls/damage.md")

if __name__ == "__main__":
    write_text(PAGE, insert(PAGE.read_text(encoding="utf-8"), REPORT.read_text(encoding="utf-8")))
