"""Tables of which a part is absent."""

from __future__ import annotations

import pandas as pd

from reflowbench.core.schemes import ADAPTIVE

REASON = "not in the table"
_CELL = ["method", "seed", "round"]
_KIND = ["solver", "nfe", "features", "n_samples", "metric"]


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """Give every absent cell its rows, with the values missing, so that a report names them and shows the rest.

    Every method must have every seed and round of the table, with the metrics that others have there; of a base
    model, those of base models.

    Args:
        table: The tidy table.

    Returns:
        The table, followed by the rows that were absent; the table itself if none was.
    """
    adaptive = table["solver"] == ADAPTIVE
    known = table.assign(nfe=table["nfe"].where(~adaptive, 0))  # the adaptive solver's differs between models
    cells = known["method"].drop_duplicates().to_frame()
    for name in ("seed", "round"):
        cells = cells.merge(known[[name]].drop_duplicates(), how="cross")
    expected = []
    for base in (True, False):
        kinds = known.loc[(known["round"] == 0) == base, _KIND].drop_duplicates()
        expected.append(cells[(cells["round"] == 0) == base].merge(kinds, how="cross"))
    found = pd.concat(expected).merge(known[_CELL + _KIND], how="left", indicator=True)
    absent = found[found.pop("_merge") == "left_only"]
    if not len(absent):
        return table
    rows = absent.assign(profile=table["profile"].iloc[0], value=float("nan"), error=float("nan"), missing=REASON)
    return pd.concat([table, rows[table.columns]], ignore_index=True)
