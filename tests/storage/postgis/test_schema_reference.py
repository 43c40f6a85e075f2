"""What users and programs find in the database: comments, keys, geometry_columns."""

import shutil
import subprocess

import psycopg
import pytest

from tests.conftest import rows


def test_every_table_and_column_has_a_comment(database: str) -> None:
    """psql, QGIS and DBeaver show the comment of each column."""
    bare = rows(
        database,
        """
        SELECT c.relname, a.attname FROM pg_class c
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'zoning'::regnamespace AND c.relkind IN ('r', 'v', 'p')
            AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
        """,
    )
    assert bare == []


def test_geometry_columns_can_be_read(database: str) -> None:
    """PostGIS's view reads our constraints without an error: QGIS and ogr2ogr use it."""
    found = dict(rows(database, "SELECT f_table_name, type FROM geometry_columns WHERE f_table_schema = 'zoning'"))
    assert found["parcel"] == found["district"] == found["zoned_parcel"] == "MULTIPOLYGON"


@pytest.mark.parametrize("table", ["parcel", "parcel_version", "district", "district_version", "change", "amendment"])
def test_another_crs_is_refused(database: str, table: str) -> None:
    """Every table with geometry has the constraint that only target CRSs are stored."""
    (found,) = rows(
        database,
        f"""
        SELECT count(*) FROM pg_constraint WHERE conrelid = 'zoning.{table}'::regclass
            AND pg_get_constraintdef(oid) = 'CHECK ((NOT ((st_srid(geom) <> 4326) AND (st_srid(geom) <> 3857))))'
        """,
    )
    assert found == (1,)


_LOTS = """
    INSERT INTO zoning.parcel
    SELECT 'us-xx-town', key, '892a3064b2fffff', code, code, NULL, key || ' Main St', '{}', 100,
        ST_Multi(ST_MakeEnvelope(-71, 42, -70.99, 42.01, 4326)), key, 1, now(), now()
    FROM (VALUES ('1', 'R-1'), ('2', 'R-9'), ('3', NULL)) AS lots (key, code);
    INSERT INTO zoning.parcel_zoning
    SELECT 'us-xx-town', key, 'base', code, 60, fraction, rank, listed, NULL, 1, now() FROM (VALUES
        ('1', 'R-1', 0.6, 1, true), ('1', 'B', 0.4, 2, true), ('2', 'R-1', 1, 1, true)
    ) AS zoning (key, code, fraction, rank, listed);
    INSERT INTO zoning.code VALUES ('us-xx-town', 'R1', 'R-1', 'Primarily Residential', '', now())
"""


@pytest.fixture
def town(database: str) -> str:
    """A database with three parcels, two of them on the map."""
    with psycopg.connect(database) as connection:
        connection.execute(_LOTS)
    return database


def test_zoned_parcel_has_the_code_of_the_map(town: str) -> None:
    """`zoning_code` is the code of the map; the parcel layer's code has another column; the geometry is included."""
    found = rows(
        town,
        """
        SELECT parcel_id, zoning_code, zoning_codes, zone_type, parcel_layer_code, agrees, ST_SRID(geom)
        FROM zoning.zoned_parcel ORDER BY 1
        """,
    )
    assert found == [
        ("1", "R-1", ["R-1", "B"], "Primarily Residential", "R-1", True, 4326),
        ("2", "R-1", ["R-1"], "Primarily Residential", "R-9", False, 4326),
        ("3", None, None, None, None, None, 4326),
    ]
    assert rows(town, "SELECT count(DISTINCT id), pg_typeof(min(id))::text FROM zoning.zoned_parcel") == [(3, "bigint")]


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="ogrinfo is not installed")
def test_ogrinfo_opens_the_view_without_an_error(town: str) -> None:
    """GDAL reads geometry and columns without a warning."""
    known = psycopg.conninfo.conninfo_to_dict(town)
    where = " ".join(f"{name}='{known[name]}'" for name in ("host", "port", "dbname", "user", "password"))
    ogrinfo = ["ogrinfo", "-so", f"PG:{where} schemas=zoning", "zoned_parcel"]
    done = subprocess.run(ogrinfo, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Feature Count: 3" in done.stdout
