"""Rows on their way to the staging table."""

import orjson
import psycopg
import pyarrow as pa
import pyproj
import pytest
import shapely

from zoning_assets.storage.postgis import staging

_STAGE = """
CREATE TEMPORARY TABLE stage (
    key text, code text, attributes text, area_m2 double precision, geom geometry, content_hash text
)"""


def parcels(rows: int, width: int) -> pa.Table:
    """Rows of a validated table whose attributes have `width` bytes, in two chunks."""
    boxes = shapely.multipolygons(shapely.box(range(rows), 0.0, range(1, rows + 1), 1.0)[:, None])
    table = pa.table(
        {
            "key": [f"lot {n}" for n in range(rows)],
            "code": [None if n % 3 else f"R-{n}" for n in range(rows)],
            "attributes": ["x" * width for _ in range(rows)],
            "area_m2": [float(n) for n in range(rows)],
            "geometry": pa.array(shapely.to_wkb(boxes, byte_order=1, flavor="iso"), pa.binary()),
            "content_hash": ["0" * 32] * rows,
        }
    )
    about = {b"geo": orjson.dumps({"columns": {"geometry": {"crs": pyproj.CRS(4326).to_json_dict()}}})}
    return pa.concat_tables([table.slice(0, rows // 2), table.slice(rows // 2)]).replace_schema_metadata(about)


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_part_that_is_sent_in_pieces_has_all_its_rows_once(
    database: str, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """A row may be larger than a piece."""
    monkeypatch.setattr(staging, "_SENT_AT_ONCE", 2500)
    with psycopg.connect(database) as connection:
        connection.execute(_STAGE)
        assert staging.copy_rows(connection, ("code",), [parcels(rows, 1000), parcels(1, 5000)]) == rows + 1
        found = connection.execute("SELECT key, code, length(attributes), ST_XMin(geom) FROM stage").fetchall()
    expected = [(f"lot {n}", None if n % 3 else f"R-{n}", 1000, float(n)) for n in range(rows)]
    assert sorted(found) == sorted([*expected, ("lot 0", "R-0", 5000, 0.0)])
