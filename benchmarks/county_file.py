"""A simulated county as one GeoPackage with the layers parcels and zoning, written in batches.

Run as a program (`python -m benchmarks.county_file --parcels N --to PATH`), so that its memory is freed at the end.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyogrio
import shapely

from zoning_assets.simulation.county.county_table import Column, CountyTable
from zoning_assets.simulation.portal.portal import CountyReleases

_ROWS_PER_BATCH = 10_000
_EPSG = 2249


def write(path: Path, parcels: int, release: int) -> None:
    """Write a release of the county: layers `Parcels` and `Zoning`, EPSG:2249 (US survey feet)."""
    county = CountyReleases(parcels).county(release)
    draft = path.with_name(f"draft-{path.name}")
    for name, table in (("Parcels", county.parcels), ("Zoning", county.zoning)):
        batches = _batches(table)
        first = next(batches)
        reader = pa.RecordBatchReader.from_batches(first.schema, _chained(first, batches))
        pyogrio.write_arrow(
            reader,
            draft,
            layer=name,
            driver="GPKG",
            geometry_name="geometry",
            geometry_type="Unknown",
            crs=f"EPSG:{_EPSG}",
            append=draft.exists(),
        )
    draft.replace(path)


def _chained(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def _batches(table: CountyTable) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(table), _ROWS_PER_BATCH):
        rows = table.taken(np.arange(start, min(start + _ROWS_PER_BATCH, len(table))))
        columns = {name: _arrow(values) for name, values in rows.columns.items() if name != "OBJECTID"}
        wkb = pa.array(shapely.to_wkb(rows.shapes.to_shapely()), pa.binary())
        yield pa.RecordBatch.from_pydict({**columns, "geometry": wkb})


def _arrow(values: Column) -> pa.Array:
    return pa.array(values, pa.string()) if values.dtype.kind == "O" else pa.array(values)


def main() -> None:
    """Write the file that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, required=True)
    parser.add_argument("--release", type=int, default=1)
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    write(options.to, options.parcels, options.release)


if __name__ == "__main__":
    main()
