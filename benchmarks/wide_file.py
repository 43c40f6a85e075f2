"""A county of N lots with 128 columns, like the tax lots of a large city, as GeoParquet in degrees; written by batches.

Run as a program (`python -m benchmarks.wide_file --parcels N --to PATH`), so that its memory is freed at the end. The
column names are of 4 to 12 letters. A third of the values are texts of a few codes, a third whole numbers, a sixth
decimals, and the rest is mostly null, as in such tables.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely
from pyarrow import parquet

COLUMNS = 128
#: West, south, east, north of the largest county (1.84 million lots); degrees.
BOUNDS = (-74.30, 40.40, -73.60, 41.00)
_ROWS_PER_BATCH = 50_000
_WIDE = 1400  # lots in a row
_STEP, _LOT = (4.5e-4, 3.4e-4), (3.6e-4, 2.7e-4)  # degrees: about 30 m x 30 m, with streets between
_CODES = 40
_GEOMETRY = {"encoding": "WKB", "geometry_types": ["Polygon"]}


def write(path: Path, parcels: int) -> None:
    """Write the file: `BBL` (the key), 127 further columns, and `geometry` (WKB, EPSG:4326)."""
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": _GEOMETRY}}
    batches = _batches(parcels)
    first = next(batches)
    schema = first.schema.with_metadata({"geo": json.dumps(geo)})
    draft = path.with_name(f"draft-{path.name}")
    with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
        for batch in itertools.chain([first], batches):
            writer.write_batch(batch.cast(schema))
    draft.replace(path)


def _batches(parcels: int) -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(7)
    for start in range(0, parcels, _ROWS_PER_BATCH):
        numbers = np.arange(start, min(start + _ROWS_PER_BATCH, parcels))
        columns = {
            "BBL": pa.array(1_000_000_000 + numbers),
            "ADDRESS": pa.array([f"{n % 999} MAIN ST" for n in numbers]),
        }
        for at in range(COLUMNS - len(columns)):
            name, values = _column(at, len(numbers), rng)
            columns[name] = values
        yield pa.RecordBatch.from_pydict({**columns, "geometry": pa.array(shapely.to_wkb(_lots(numbers)), pa.binary())})


def _column(at: int, rows: int, rng: np.random.Generator) -> tuple[str, pa.Array]:
    if at % 6 < 2:
        codes = pa.array([f"{'CODE' if at % 2 else 'C'}{at}-{code}" for code in range(_CODES)])
        return f"CODE{at:03d}", pa.DictionaryArray.from_arrays(rng.integers(0, _CODES, rows), codes).dictionary_decode()
    if at % 6 < 4:
        return f"NUMBER{at:03d}", pa.array(rng.integers(0, 10 ** (1 + at % 7), rows))
    if at % 6 == 4:
        return f"AREA{at:03d}", pa.array(np.round(rng.gamma(2.0, 1500.0, rows), 2))
    return f"REMARK{at:03d}", pa.array(np.where(rng.random(rows) < 0.1, f"remark {at}", None), pa.string())


def _lots(numbers: np.ndarray) -> np.ndarray:
    row, column = np.divmod(numbers, _WIDE)
    west, south = BOUNDS[0] + 0.02 + column * _STEP[0], BOUNDS[1] + 0.02 + row * _STEP[1]
    return shapely.box(west, south, west + _LOT[0], south + _LOT[1])


def main() -> None:
    """Write the file that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, required=True)
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    write(options.to, options.parcels)


if __name__ == "__main__":
    main()
