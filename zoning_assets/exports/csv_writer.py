"""Write CSV (RFC 4180, UTF-8) without shapes, and without cells that a spreadsheet would execute as formulas."""

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zoning_assets.exports.csv_cells import safe_cell
from zoning_assets.exports.layers import GEOMETRY
from zoning_assets.exports.row_reader import RowStream


def write(path: Path, rows: RowStream) -> dict[str, Any]:
    """Write the file; the shapes are left out."""
    names = [name for name in rows.schema.names if name != GEOMETRY]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(names)
        for batch in rows.batches:
            writer.writerows(zip(*(_cells(batch.column(name)) for name in names), strict=True))
    return {"left_out": [GEOMETRY]}


def _cells(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
    values = column.to_pylist()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return [None if value is None else safe_cell(value) for value in values]
    return values  # type: ignore[no-any-return]
