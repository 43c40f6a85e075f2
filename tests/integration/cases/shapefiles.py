"""Zipped shapefiles whose .dbf is written here, byte by byte, as GDAL would not."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import shapely

from tests.integration.cases.serving import box


def shapefile(
    folder: Path,
    rows: list[dict[str, Any]],
    pin: tuple[str, int, int] = ("C", 20, 0),
    *,
    encoding: str = "ascii",
    cpg: str | None = None,
    crs: str = "EPSG:4326",
) -> bytes:
    """A zipped shapefile of lots.

    Args:
        folder: to write to.
        rows: PIN, ADDR and ZONE_CODE; numbers as the text that shall stand there.
        pin: type, width and decimals of PIN.
        encoding: of the text.
        cpg: what the .cpg says; None: there is none.
        crs: of the lots, whose numbers are degrees.
    """
    folder = folder / "shapefile"
    folder.mkdir(exist_ok=True)
    shapes = [shapely.Polygon(box(n)) for n in range(len(rows))]
    gpd.GeoDataFrame({"N": range(len(rows))}, geometry=shapes, crs=crs).to_file(folder / "lots.shp", engine="pyogrio")
    (folder / "lots.dbf").write_bytes(
        _dbf(rows, [("PIN", *pin), ("ADDR", "C", 30, 0), ("ZONE_CODE", "C", 8, 0)], encoding)
    )
    (folder / "lots.cpg").unlink(missing_ok=True)
    if cpg is not None:
        (folder / "lots.cpg").write_text(cpg)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as packed:
        for path in sorted(folder.glob("lots.*")):
            packed.write(path, path.name)
    return sink.getvalue()


def _dbf(rows: list[dict[str, Any]], fields: list[tuple[str, str, int, int]], encoding: str) -> bytes:
    size = 1 + sum(width for _, _, width, _ in fields)
    head = struct.pack("<4BIHH20x", 3, 126, 1, 1, len(rows), 33 + 32 * len(fields), size)
    head += b"".join(
        struct.pack("<11sc4xBB14x", name.encode(), kind.encode(), width, places) for name, kind, width, places in fields
    )
    return head + b"\r" + b"".join(b" " + _row(row, fields, encoding) for row in rows) + b"\x1a"


def _row(row: dict[str, Any], fields: list[tuple[str, str, int, int]], encoding: str) -> bytes:
    cells = [(str(row[name]).encode(encoding)[:width], kind, width) for name, kind, width, _ in fields]
    return b"".join(cell.rjust(width) if kind in "NF" else cell.ljust(width) for cell, kind, width in cells)
