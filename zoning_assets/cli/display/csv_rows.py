"""CSV on stdout, written row by row, that a spreadsheet opens without running anything."""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoning_assets.cli.display.terminal import printable

#: A spreadsheet takes a cell that begins so for a formula; an apostrophe before it makes it text.
_FORMULA = ("=", "+", "-", "@")


def write(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A header and the rows' values of these names; None is an empty cell."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([safe(row[name]) for name in names])


def safe(value: Any) -> Any:
    """A cell that is no formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
