"""KML and KMZ: rows and attributes as their publisher meant them, and nothing fetched or opened besides."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pyogrio
import pytest
import shapely

from tests.sources.files.test_file_reader import VRT, find, read, refused, table
from tests.sources.judged import hashes, judged
from zoning_assets.sources.files import kml

SQUARE = "0,0,5 0,0.001,5 0.001,0.001,5 0.001,0,5 0,0,5"
RING = f"<LinearRing><coordinates>{SQUARE}</coordinates></LinearRing>"
AREA = f"<Polygon><outerBoundaryIs>{RING}</outerBoundaryIs></Polygon>"
SCHEMA = '<Schema name="S" id="S"><SimpleField name="ml" type="string"/><SimpleField name="n" type="int"/></Schema>'
BOUNDS = (-1.0, -1.0, 1.0, 1.0)


def document(*rows: str, head: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        f"{SCHEMA}<Folder><name>Lots</name>{''.join(rows)}</Folder></Document></kml>"
    )


def placemark(inner: str, shape: str = AREA) -> str:
    return f"<Placemark><name>a lot</name>{inner}{shape}</Placemark>"


def schema_data(**values: Any) -> str:
    data = "".join(f'<SimpleData name="{name}">{value}</SimpleData>' for name, value in values.items())
    return f'<ExtendedData><SchemaData schemaUrl="#S">{data}</SchemaData></ExtendedData>'


def html(**values: str) -> str:
    rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in values.items())
    inner = f"<table><tr bgcolor='#D4E4F3'>{rows[4:]}</table>"
    outer = f"<html><body><table><tr><td>Lot</td></tr><tr><td>{inner}</td></tr></table>"
    return f"<description><![CDATA[{outer}]]></description>"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_extended_data(tmp_path):
    """SchemaData and Data are attributes; a text keeps its zeros; height is left behind when judged."""
    plain = '<Data name="ml"><value>008</value></Data><Data name="use"><value>R1</value></Data>'
    data = f"<ExtendedData>{plain}</ExtendedData>"
    path = write(tmp_path / "a.kml", document(placemark(schema_data(ml="007", n=5)), placemark(data)))
    found = read(path)
    assert (find(path).layer, find(path).crs, find(path).rows) == ("Lots", "EPSG:4326", 2)
    assert found["ml"].to_pylist() == ["007", "008"]
    assert found["n"].to_pylist() == [5, None]
    assert found["use"].to_pylist() == [None, "R1"]
    done = judged(path, bounds=BOUNDS)
    assert done.table["key"].tolist() == ["007", "008"]
    assert not shapely.has_z(done.table.geometry.to_numpy()).any()


def test_the_columns_of_kml_itself_are_no_attributes(tmp_path):
    """Whether a lot is drawn extruded says nothing of the lot; it stays in the raw rows."""
    path = write(tmp_path / "a.kml", document(placemark(schema_data(ml="007"))))
    assert {"tessellate", "extrude", "visibility"} <= set(find(path).managed)
    [text] = judged(path, bounds=BOUNDS).table["attributes"].tolist()
    assert json.loads(text) == {"Name": "a lot"}


def test_attributes_from_a_table_in_the_description(tmp_path):
    """A GIS program's table of two columns gives the columns, where nothing else does; rows may lack some."""
    rows = [placemark(html(ml="007", USE="R1 &amp; more")), placemark(html(ml="008", AREA="5")), placemark("")]
    found = read(write(tmp_path / "a.kml", document(*rows)))
    assert found["ml"].to_pylist() == ["007", "008", None]
    assert found["USE"].to_pylist() == ["R1 & more", None, None]
    assert found["AREA"].to_pylist() == [None, "5", None]
    assert found["description"].to_pylist() == [None, None, None]


@pytest.mark.parametrize(
    "other",
    [
        "<description>a corner lot</description>",
        "<description><![CDATA[<table><tr><td>ml</td><td>1</td></tr><tr><td>ml</td><td>2</td></tr></table>]]></description>",
        "<description><![CDATA[<table><tr><td>ml</td><td>1</td><td>2</td></tr></table>]]></description>",
    ],
)
def test_descriptions_that_are_not_all_simple_tables_stay_text(tmp_path, other):
    """Prose, a name twice, three columns: nothing is guessed, and the text is there."""
    found = read(write(tmp_path / "a.kml", document(placemark(html(x="1")), placemark(other))))
    assert "x" not in found.schema.names
    assert found["description"].null_count == 0


def test_extended_data_outranks_a_table(tmp_path):
    """Where a publisher gives both, the data is the data and the table a text."""
    found = read(write(tmp_path / "a.kml", document(placemark(html(USE="R1") + schema_data(ml="007")))))
    assert found["ml"].to_pylist() == ["007"]
    assert "USE" not in found.schema.names


@pytest.mark.parametrize(
    "text", ["", "<", "<table>", "<table><tr>", "a < b", "\x00<b>", "<td>" * 9000, "<table" * 9999]
)
def test_no_description_is_an_error(text):
    """Whatever a description holds, it is a table or it is none."""
    assert kml.table_of(text) == {}


def test_a_placemark_without_a_shape_is_a_row(tmp_path):
    """It is judged: no geometry. A point is no area."""
    point = "<Point><coordinates>0,0</coordinates></Point>"
    rows = [placemark(schema_data(ml="1"), ""), placemark(schema_data(ml="2"), point), placemark(schema_data(ml="3"))]
    path = write(tmp_path / "a.kml", document(*rows))
    assert hashes(path, bounds=BOUNDS)[1] == ["no_geometry", "not_an_area"]


def test_shapes_of_several_parts(tmp_path):
    """A MultiGeometry of areas, and one with a point beside its area, are the areas."""
    point = "<Point><coordinates>0,0</coordinates></Point>"
    shapes = [
        f"<MultiGeometry>{AREA}{AREA.replace('0.001', '0.0005')}</MultiGeometry>",
        f"<MultiGeometry>{AREA}{point}</MultiGeometry>",
    ]
    rows = [placemark(schema_data(ml=str(i)), shape) for i, shape in enumerate(shapes)]
    done = judged(write(tmp_path / "a.kml", document(*rows)), bounds=BOUNDS)
    assert done.accepted == 2


def test_kmz(tmp_path):
    """A zip like any other, with the same checks; pictures in it are left alone."""
    with zipfile.ZipFile(tmp_path / "a.kmz", "w") as archive:
        archive.writestr("doc.kml", document(placemark(schema_data(ml="007"))))
        archive.writestr("files/legend.png", b"\x89PNG")
    assert read(tmp_path / "a.kmz", into=tmp_path / "into")["ml"].to_pylist() == ["007"]
    with zipfile.ZipFile(tmp_path / "b.kmz", "w") as archive:
        archive.writestr("../doc.kml", document())
    refused(tmp_path / "b.kmz", "has a path outside", into=tmp_path / "into")


def test_several_folders_are_several_layers(tmp_path):
    """The jurisdiction file names one; all placemarks of all of them are accounted for."""
    folders = "".join(f"<Folder><name>{name}</name>{placemark(schema_data(ml=name))}</Folder>" for name in ("A", "B"))
    path = write(tmp_path / "a.kml", document().replace("<Folder><name>Lots</name></Folder>", folders))
    refused(path, "2 layers may hold polygons; there are: 'A', 'B'")
    assert read(path, "B")["ml"].to_pylist() == ["B"]


LINK = "<NetworkLink><Link><href>http://127.0.0.1:1/x.kml</href></Link></NetworkLink>"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (document(LINK), r"points to other addresses \(NetworkLink\)"),
        (document(LINK, placemark("")), "NetworkLink"),
        (document(head='<!DOCTYPE kml [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "declares a document type"),
        (document(head='<!DOCTYPE kml SYSTEM "http://127.0.0.1:1/x.dtd">'), "declares a document type"),
        (document(placemark(""))[:-30], "damaged"),
        (document(placemark("&x;")), "damaged"),
        (document("<Folder>" * 80 + "</Folder>" * 80), "nested deeper"),
        ("<kml/>", "damaged"),
        (document(VRT.format(target="/etc/passwd")), "virtual dataset"),
    ],
)
def test_what_is_refused_by_name(tmp_path, text, says):
    """Links, entities, damage, depth, other programs' magic: one line each."""
    refused(write(tmp_path / "a.kml", text), says)


def test_gdal_is_asked_for_no_entity(tmp_path):
    """The test above could not fail if GDAL itself refused: it reads the same file without a document type."""
    assert pyogrio.read_info(write(tmp_path / "a.kml", document(placemark(""))))["driver"] == "LIBKML"


def test_a_kml_is_bounded(tmp_path, monkeypatch):
    """GDAL holds all of it in memory."""
    monkeypatch.setattr(kml, "MOST_BYTES", 100)
    refused(write(tmp_path / "a.kml", document(placemark(""))), "larger than 0 MiB")


def test_kml_is_as_good_as_any_file(tmp_path):
    """The same lots as KML and as GeoJSON give the same shapes under the same keys."""
    lots = table(30).to_crs(4326)[["ml", "geometry"]]
    west, south, east, north = lots.total_bounds
    bounds = (west - 0.01, south - 0.01, east + 0.01, north + 0.01)
    pyogrio.write_dataframe(lots, tmp_path / "a.geojson", driver="GeoJSON", COORDINATE_PRECISION=15)
    pyogrio.write_dataframe(lots, tmp_path / "a.kml", driver="LIBKML")
    assert hashes(tmp_path / "a.kml", bounds=bounds) == hashes(tmp_path / "a.geojson", bounds=bounds)
