"""Write CSV to stdout row by row, without cells that a spreadsheet would execute as formulas."""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoning_assets.exports.csv_cells import safe_cell


def write(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a header, and these columns of the rows; None becomes an empty cell."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([safe(row[name]) for name in names])


def safe(value: Any) -> Any:
    """Return a cell that is not a formula; numbers are not changed."""
    return safe_cell(value) if isinstance(value, str) else value
