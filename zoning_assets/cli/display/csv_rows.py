"""Write CSV to stdout row by row, without cells that a spreadsheet would execute as formulas."""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoning_assets.cli.display.terminal import printable

#: First characters of formulas in spreadsheets. An apostrophe before them makes the cell text.
_FORMULA = ("=", "+", "-", "@")


def write(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a header, and these columns of the rows; None becomes an empty cell."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([safe(row[name]) for name in names])


def safe(value: Any) -> Any:
    """Return a cell that is not a formula; numbers are not changed."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
