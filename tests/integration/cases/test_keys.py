"""Every form of a natural key keeps all its digits or is refused by name; two keys never become one."""

import io
import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import geopandas as gpd
import pyarrow as pa
import pytest
import shapely
from pyarrow import parquet

from tests.integration.cases.publishing import published
from tests.integration.cases.serving import CasePortal, Raw, box, case, case_layer, geojson, layer_of, lots, running
from tests.integration.cases.shapefiles import shapefile
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.sources.files.geojson import json_repair
from zoning_assets.transform import normalize
from zoning_assets.transform.geometry import content_hash

pytestmark = pytest.mark.sampled(4)


@pytest.mark.parametrize("policy", ["reject", "dissolve"])
def test_a_dbf_number_of_19_digits_keeps_them(pipeline: Pipeline, tmp_path: Path, policy: str) -> None:
    """Case 32: GDAL reads N(20,0) as a double; the digits are read from the .dbf."""
    with running(CasePortal({"case32.zip": case("32/case32.zip")})) as portal:
        done = published(pipeline, portal, portal.file_url("case32.zip"), tmp_path, on_repeated_key=policy)
    assert not done.errors
    assert len(done.keys) == 20
    assert all(len(key) == 19 and key.isdecimal() for key in done.keys)


def test_a_geopackage_double_of_17_digits_keeps_them(pipeline: Pipeline, tmp_path: Path) -> None:
    """Case 32c: each key is exact in a double."""
    with running(CasePortal({"case32c.gpkg": case("32/case32c.gpkg")})) as portal:
        done = published(pipeline, portal, portal.file_url("case32c.gpkg"), tmp_path, key="PCN")
    (tmp_path / "c.gpkg").write_bytes(case("32/case32c.gpkg"))
    with sqlite3.connect(tmp_path / "c.gpkg") as base:
        (table,) = base.execute("SELECT table_name FROM gpkg_contents").fetchone()
        wanted = sorted(str(int(pcn)) for (pcn,) in base.execute(f'SELECT PCN FROM "{table}"'))
    assert done.keys == wanted
    assert len(set(done.keys)) == 20


def test_an_arcgis_double_of_17_digits_keeps_them(pipeline: Pipeline, tmp_path: Path) -> None:
    """Case 32d: 1.2434516010010002e+16 is 12434516010010002."""
    layer = case_layer("32", "case32d")
    with running(CasePortal(layers={"case32d": layer})) as portal:
        done = published(pipeline, portal, portal.layer_url("case32d"), tmp_path, type="arcgis")
    wanted = sorted(str(int(row["attributes"]["PIN"])) for row in json.loads(layer.answer)["features"])
    assert done.keys == wanted
    assert "12434516010010002" in done.keys


NUMBERS = {
    "integers beyond 64 bits": lambda n: Raw(f"1234567890123456789012{n:02d}"),
    "decimals with idle zeros": lambda n: Raw(f"12345678901234567{n:02d}.00"),
    "exponents of a double": lambda n: Raw(f"{(2**53 + 2 * n) * 1.0:.16e}"),
    "unsigned 64 bits": lambda n: Raw(str(2**64 - 1 - n)),
}


@pytest.mark.parametrize("form", NUMBERS)
@pytest.mark.parametrize("policy", ["reject", "dissolve"])
def test_long_numbers_in_arcgis_json_keep_their_digits(
    pipeline: Pipeline, tmp_path: Path, form: str, policy: str
) -> None:
    """Whatever a JSON number looks like, its digits become the key."""
    rows = lots(20, PIN=NUMBERS[form])
    with running(CasePortal(layers={"long": layer_of(rows)})) as portal:
        done = published(pipeline, portal, portal.layer_url("long"), tmp_path, type="arcgis", on_repeated_key=policy)
    assert not done.errors
    assert done.keys == sorted(str(int(Decimal(row["PIN"]))) for row in rows)


@pytest.mark.parametrize("form", NUMBERS)
def test_long_numbers_in_a_geojson_file_keep_their_digits(pipeline: Pipeline, tmp_path: Path, form: str) -> None:
    """GDAL makes doubles of integers beyond 64 bits, and of integers that stand beside a decimal number."""
    rows = lots(20, PIN=lambda n: Raw("1.5") if n == 19 else NUMBERS[form](n))
    with running(CasePortal({"long.geojson": geojson(rows)})) as portal:
        done = published(pipeline, portal, portal.file_url("long.geojson"), tmp_path, on_repeated_key="dissolve")
    assert not done.errors
    assert done.keys == sorted(["1.5", *(str(int(Decimal(row["PIN"]))) for row in rows[:19])])


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1.0e+400"])
@pytest.mark.parametrize("others", ["12345678901234567890123", "2"])
def test_a_number_beyond_all_bounds_is_no_key(pipeline: Pipeline, tmp_path: Path, number: str, others: str) -> None:
    """Its row is held back by name; no text is made of it, whatever the other keys look like."""
    rows = lots(20, PIN=lambda n: Raw(number) if n == 7 else Raw(f"{others}{n:02d}"))
    with running(CasePortal({"long.geojson": geojson(rows)})) as portal:
        done = published(pipeline, portal, portal.file_url("long.geojson"), tmp_path, on_repeated_key="dissolve")
    assert done.keys == sorted(f"{others}{n:02d}" for n in range(20) if n != 7)
    assert done.rejections() == [("null_key",)]


@pytest.mark.parametrize("number", ["1-2", "1.2.3", "1e"])
def test_what_looks_like_a_number_and_is_none_is_no_key(tmp_path: Path, number: str) -> None:
    """The file is damaged, and stays so."""
    path = tmp_path / "a.geojson"
    path.write_bytes(b'{"features":[{"id":' + number.encode() + b',"type":"Feature"}],"type":"FeatureCollection"}')
    assert json_repair.ready(path, tmp_path / "into", ("id",)).read_bytes() == path.read_bytes()


def test_decimals_of_geoparquet_keep_their_digits(pipeline: Pipeline, tmp_path: Path) -> None:
    """A decimal of 22 digits, and one with a fraction, are their text."""
    frame = gpd.GeoDataFrame(lots(20), geometry=[shapely.Polygon(box(n)) for n in range(20)], crs="EPSG:4326")
    frame.to_parquet(tmp_path / "plain.parquet")
    table = parquet.read_table(tmp_path / "plain.parquet")
    pins = pa.array([Decimal(f"12345678901234567890{n:02d}") for n in range(20)], pa.decimal128(30, 0))
    table = table.set_column(table.schema.get_field_index("PIN"), "PIN", pins)
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    with running(CasePortal({"long.parquet": sink.getvalue()})) as portal:
        done = published(pipeline, portal, portal.file_url("long.parquet"), tmp_path)
    assert done.keys == [f"12345678901234567890{n:02d}" for n in range(20)]


def test_a_features_own_id_may_be_the_key(pipeline: Pipeline, tmp_path: Path) -> None:
    """Ids of a GeoJSON's features, beyond 2**53 and beyond 64 bits."""
    features = json.loads(geojson(lots(20)))["features"]
    ids = [12345678901234567890123 + n if n % 2 else 2**53 + 1 + n for n in range(20)]
    for number, feature in zip(ids, features, strict=True):
        feature["id"] = number
    body = json.dumps({"type": "FeatureCollection", "features": features}).encode()
    with running(CasePortal({"ids.geojson": body})) as portal:
        done = published(pipeline, portal, portal.file_url("ids.geojson"), tmp_path, key="id")
    assert sorted(map(int, done.keys)) == sorted(ids)


def test_keys_of_text_stay_as_they_are_written(pipeline: Pipeline, tmp_path: Path) -> None:
    """Zeros before and behind, slashes that look like a date, and exponents that are complete: each its own key."""
    pins = ["000123", "123", "123.0", "1234/05/06", "1234-05-06", "12E3", "12000", "1.2434516010010002E+16", " 7 7"]
    body = geojson(lots(len(pins), PIN=lambda n: pins[n]))
    with running(CasePortal({"texts.geojson": body})) as portal:
        done = published(pipeline, portal, portal.file_url("texts.geojson"), tmp_path, on_repeated_key="dissolve")
    assert sorted(done.keys) == sorted(pin.strip() for pin in pins)


def csv_of(rows: list[dict[str, object]]) -> bytes:
    shapes = [shapely.Polygon(box(n)).wkt for n in range(len(rows))]
    lines = ["PIN;ADDR;ZONE_CODE;WKT"]
    lines += [f'{row["PIN"]};{row["ADDR"]};{row["ZONE_CODE"]};"{wkt}"' for row, wkt in zip(rows, shapes, strict=True)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("policy", ["reject", "dissolve", "suffix"])
def test_keys_that_a_spreadsheet_cut_are_refused_by_name(pipeline: Pipeline, tmp_path: Path, policy: str) -> None:
    """1.23457E+17 stands for many parcels: its rows are held back, and never become one."""
    rows = lots(20, PIN=lambda n: "1.23457E+17" if n < 4 else f"12-{n}")
    with running(CasePortal({"cut.csv": csv_of(rows)})) as portal:
        done = published(pipeline, portal, portal.file_url("cut.csv"), tmp_path, on_repeated_key=policy)
    assert len(done.keys) == 16
    assert done.rejections() == [("inexact_key",)] * 4


@pytest.mark.parametrize("width", [19, 24, 33])
def test_wide_dbf_numbers_keep_their_digits(pipeline: Pipeline, tmp_path: Path, width: int) -> None:
    """A number as wide as its column, whatever the width."""
    pins = [f"{'9' * (width - 2)}{n:02d}" for n in range(10, 30)]
    rows = lots(20, PIN=lambda n: pins[n])
    with running(CasePortal({"wide.zip": shapefile(tmp_path, rows, ("N", width, 0))})) as portal:
        done = published(pipeline, portal, portal.file_url("wide.zip"), tmp_path, on_repeated_key="dissolve")
    assert done.keys == pins


def test_a_dbf_number_with_decimals_keeps_its_digits(pipeline: Pipeline, tmp_path: Path) -> None:
    """N(24,4): 1234567890123456701.0000 is a whole number of 19 digits."""
    rows = lots(20, PIN=lambda n: f"12345678901234567{n:02d}.0000")
    with running(CasePortal({"places.zip": shapefile(tmp_path, rows, ("N", 24, 4))})) as portal:
        done = published(pipeline, portal, portal.file_url("places.zip"), tmp_path, on_repeated_key="dissolve")
    assert done.keys == [f"12345678901234567{n:02d}" for n in range(20)]


def test_a_dbf_double_that_was_cut_when_it_was_written_is_refused_by_name(pipeline: Pipeline, tmp_path: Path) -> None:
    """F(19,11) holds 1.23456789012e+018: no reader finds the digits again."""
    rows = lots(20, PIN=lambda n: "1.23456789012e+018" if n < 4 else str(n))
    with running(CasePortal({"cut.zip": shapefile(tmp_path, rows, ("F", 19, 11))})) as portal:
        done = published(pipeline, portal, portal.file_url("cut.zip"), tmp_path, on_repeated_key="dissolve")
    assert len(done.keys) == 16
    assert done.rejections() == [("inexact_key",)] * 4


ODD = ("*******************", "12-A", "1 2", "nan", "..")


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("policy", ["reject", "dissolve"])
def test_one_odd_cell_costs_its_own_row_alone(pipeline: Pipeline, tmp_path: Path, odd: str, policy: str) -> None:
    """N(19,0) with an overflow or another cell that is no number: that key is null, the others keep their digits."""
    pins = [f"12345678901234567{n:02d}" for n in range(20)]
    rows = lots(20, PIN=lambda n: odd if n in {3, 4} else pins[n])
    with running(CasePortal({"odd.zip": shapefile(tmp_path, rows, ("N", 19, 0))})) as portal:
        done = published(pipeline, portal, portal.file_url("odd.zip"), tmp_path, on_repeated_key=policy)
    assert done.keys == [pin for n, pin in enumerate(pins) if n not in {3, 4}]
    assert done.rejections() == [("null_key",)] * 2


@pytest.mark.parametrize("width", [6, 18])
def test_a_number_with_more_places_than_its_column_has_is_no_other(
    pipeline: Pipeline, tmp_path: Path, width: int
) -> None:
    """GDAL reads 12.5 in a column of whole numbers as 12."""
    rows = lots(20, PIN=lambda n: "12.5" if n == 3 else f"{n}.0" if n == 4 else str(n))
    with running(CasePortal({"a.zip": shapefile(tmp_path, rows, ("N", width, 0))})) as portal:
        done = published(pipeline, portal, portal.file_url("a.zip"), tmp_path, on_repeated_key="dissolve")
    assert sorted(done.keys, key=float) == sorted(["12.5", *(str(n) for n in range(20) if n != 3)], key=float)


@pytest.mark.parametrize("width", [6, 18])
def test_a_cell_that_only_begins_with_a_number_is_not_that_number(
    pipeline: Pipeline, tmp_path: Path, width: int
) -> None:
    """GDAL reads 12-A as 12, which is another parcel's key; so in a narrow column and where no number is long."""
    rows = lots(20, PIN=lambda n: "12-A" if n == 3 else str(n))
    with running(CasePortal({"a.zip": shapefile(tmp_path, rows, ("N", width, 0))})) as portal:
        done = published(pipeline, portal, portal.file_url("a.zip"), tmp_path, on_repeated_key="dissolve")
    assert sorted(done.keys, key=int) == [str(n) for n in range(20) if n != 3]
    assert done.rejections() == [("null_key",)]


UNFIT = {
    "more places than the column has": (("N", 24, 0), "1.5", "1.5"),
    "exponents": (("N", 24, 4), "1.5000e+003", "1500"),
    "no digit before the point": (("F", 24, 4), ".5", "0.5"),
    "more digits than decimals hold": (("N", 100, 0), "9" * 90, "9" * 90),
    "more places than numbers have": (("N", 24, 200), "7.0", "7"),
}


@pytest.mark.parametrize("form", UNFIT)
def test_long_keys_stay_apart_beside_any_form_of_a_number(pipeline: Pipeline, tmp_path: Path, form: str) -> None:
    """However a neighbour is written, it is its number, and the long ones keep all their digits."""
    column, written, key = UNFIT[form]
    pins = [f"12345678901234567{n:02d}" for n in range(19)]
    rows = lots(20, PIN=lambda n: written if n == 19 else pins[n])
    with running(CasePortal({"a.zip": shapefile(tmp_path, rows, column)})) as portal:
        done = published(pipeline, portal, portal.file_url("a.zip"), tmp_path, on_repeated_key="dissolve")
    assert not done.errors
    assert done.keys == sorted([*pins, key])


def test_a_cut_number_leaves_the_other_keys_as_they_are(pipeline: Pipeline, tmp_path: Path) -> None:
    """ArcGIS writes each number of F(19,11) with an exponent; one that is cut does not change how the others look."""
    rows = lots(20, PIN=lambda n: "1.23456789012e+018" if n == 0 else f"{1000 + n:.11e}")
    with running(CasePortal({"a.zip": shapefile(tmp_path, rows, ("F", 19, 11))})) as portal:
        done = published(pipeline, portal, portal.file_url("a.zip"), tmp_path, on_repeated_key="dissolve")
    assert done.keys == [str(1000 + n) for n in range(1, 20)]
    assert done.rejections() == [("inexact_key",)]


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (12.0, "12"),
        (2.0**53, "9007199254740992"),
        (1.2434516010010002e16, "12434516010010002"),
        (1e22, "10000000000000000000000"),
        (12345678.12345, "12345678.12345"),
        (0.1, "0.1"),
        (Decimal("1234567890123456789.50"), "1234567890123456789.5"),
        (Decimal("12.00"), "12"),
        (2**70, str(2**70)),
        (" 007 ", "007"),
        ("2024/01/02", "2024/01/02"),
        ("A\x00", "A"),
        ("A\x00B", "AB"),
        ("\ud800", "?"),
        ("", None),
        (float("nan"), None),
        (None, None),
        (True, "True"),
    ],
)
def test_a_key_is_its_digits(raw: object, key: str | None) -> None:
    """Numbers without a point where they are whole, texts as they are written but for the blanks around them."""
    assert normalize.key_of(raw) == key


@pytest.mark.parametrize(
    ("raw", "form"),
    [(12.0, 12), (0.1 + 0.2, 0.3), (1e15, 10**15), (2.0**53, 2**53), (1.2345678901234568e18, 1234567890123456768)],
)
def test_numbers_of_attributes_keep_their_digits_and_their_form(raw: float, form: object) -> None:
    """Below 2**53 the form is what it was, so that no content hash changes; above it no digit is lost."""
    assert content_hash.value(raw) == form
    assert type(content_hash.value(raw)) is type(form)
