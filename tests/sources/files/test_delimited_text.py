"""Tables as text: every row, every zero of an id, and a line number where something is missing."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely

from tests.sources.files.test_file_reader import find, read, refused, table, zip_of
from tests.sources.judged import hashes, judged
from zoning_assets.errors import CrsRefused, FileRefused
from zoning_assets.sources.files import delimited_text, file_reader

BOX = "POLYGON ((0 0, 0 0.001, 0.001 0.001, 0.001 0, 0 0))"
AREA = shapely.from_wkt(BOX)
BOUNDS = (-1.0, -1.0, 1.0, 1.0)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def shapes(found: pa.Table) -> list[Any]:
    return shapely.from_wkb(found["geometry"].to_pylist()).tolist()


@pytest.mark.parametrize("column", ["the_geom", "WKT", "geometry", "Shape", "Geo Shape", "boundary of the lot"])
@pytest.mark.parametrize(
    "form", [BOX, json.dumps(shapely.geometry.mapping(AREA)), AREA.wkb_hex, f"SRID=4326;{BOX}", f"MULTI{BOX}".lower()]
)
def test_shapes_as_text(tmp_path, column, form):
    """WKT, GeoJSON, WKB in hexadecimal and EWKT, under any name that looks like shapes; ids keep their zeros."""
    form = form.replace("((0 0", "(((0 0").replace("0 0))", "0 0)))") if form.startswith("multi") else form
    with (tmp_path / "lots.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["ml", column, "n"], ["007", form, "1e3"], ["0", "", ""]])
    found = read(tmp_path / "lots.csv")
    square, nothing = shapes(found)
    assert square.equals(AREA)
    assert nothing is None
    assert found["ml"].to_pylist() == ["007", "0"]
    assert found["n"].to_pylist() == ["1e3", ""]
    told = [name for name in found.schema.names if found[name].to_pylist()[0] == form]
    assert told == []  # the text of a shape that was read is not an attribute too


def test_a_shape_that_cannot_be_read_stays_with_its_row(tmp_path):
    """The row is judged, without a place, and what stood there is in its raw row."""
    write(tmp_path / "a.csv", f'ml,wkt\n1,"{BOX}"\n2,"POLYGON ((0 0, 1 1"\n3,SRID=4326;nonsense\n4,POLYGON EMPTY\n')
    found = read(tmp_path / "a.csv")
    assert found["wkt"].to_pylist() == [None, "POLYGON ((0 0, 1 1", "SRID=4326;nonsense", None]
    assert hashes(tmp_path / "a.csv", bounds=BOUNDS)[1] == ["no_geometry"] * 3


def test_ewkt_says_its_crs(tmp_path):
    """The SRID of the first shape is the layer's CRS."""
    write(tmp_path / "a.csv", 'ml,wkt\n1,"SRID=2249;POLYGON ((0 0, 0 9, 9 9, 0 0))"\n')
    assert find(tmp_path / "a.csv").crs == "EPSG:2249"


@pytest.mark.parametrize("names", ["LON,LAT", "x,y", "Longitude,Latitude", "POINT_X,POINT_Y"])
def test_x_and_y_are_points_and_no_parcels(tmp_path, names):
    """They are read, judged and rejected: a point is not an area."""
    write(tmp_path / "a.csv", f"ml,{names}\n007,0.5,0.25\n008,,\n")
    point, nothing = shapes(read(tmp_path / "a.csv"))
    assert (point.x, point.y, nothing) == (0.5, 0.25, None)
    done = judged(tmp_path / "a.csv", bounds=BOUNDS)
    assert done.rejections["reason"].tolist() == ["not_an_area", "no_geometry"]


def test_feet_need_a_crs(tmp_path):
    """x and y in feet are refused as degrees, and read where the jurisdiction file says which feet."""
    write(tmp_path / "a.csv", "ml,x,y\n1,760000,2960000\n")
    cambridge = (-71.2, 42.3, -71.0, 42.5)
    with pytest.raises(CrsRefused):
        judged(tmp_path / "a.csv", bounds=cambridge)
    done = judged(tmp_path / "a.csv", bounds=cambridge, crs="EPSG:2249")
    assert done.rejections["reason"].tolist() == ["not_an_area"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_and_encodings(tmp_path, separator, encoding, end):
    """Found by looking; text, names and quoted line ends come as they were written."""
    lines = [["ml", "straße", "wkt"], ["01", "Peña\r\nII, a;b|c", BOX], ["02", 'say "hi"', BOX]]
    with (tmp_path / "a").open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator, lineterminator=end).writerows(lines)
    found = read(tmp_path / "a")
    assert found["ml"].to_pylist() == ["01", "02"]
    assert [text.replace("\r", "") for text in found["straße"].to_pylist()] == ["Peña\nII, a;b|c", 'say "hi"']
    assert all(shape.equals(AREA) for shape in shapes(found))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('3,"POLYGON EMPTY"', "line 4 of the table is damaged: 2 columns, the header has 3"),
        ("3", "line 4 .*: 1 columns"),
        ('3,"POLYGON EMPTY",a,b', "line 4 .*: 4 columns"),
        ('3,"POLYGON EM', "line 4 .*unexpected end of data"),
        ('3,"POLYGON EMPTY"x,a', "line 4 .*expected after"),
    ],
)
def test_a_ragged_line_is_named(tmp_path, line, says):
    """GDAL fills it up or cuts it, or takes the rest of the file for a text; here it is refused with its number."""
    text = f'ml,wkt,n\n1,"{BOX}",a\n2,"{BOX}",a\n{line}\n'
    refused(write(tmp_path / "a.csv", text), says)


def test_lines_are_counted_over_quoted_ends(tmp_path):
    """The number is the line's in the file, as an editor shows it."""
    refused(write(tmp_path / "a.csv", f'ml,wkt,n\n1,"{BOX}","a\n\nb"\n2\n'), "line 5 of the table")


def test_what_loses_nothing_is_read(tmp_path):
    """Blank lines, and empty cells beyond the header."""
    found = read(write(tmp_path / "a.csv", f'ml,wkt\n1,"{BOX}"\n\n2,"{BOX}",,\n\n'))
    assert found["ml"].to_pylist() == ["1", "2"]


@pytest.mark.parametrize("beside", [("a.csvt", '"Integer","String"'), ("a.prj", "EPSG:2249"), ("a.vrt", "<OGRVRT")])
def test_what_stands_beside_a_table_is_not_read(tmp_path, beside):
    """GDAL would take its word for it that an id is a number, and drop its zeros."""
    name, text = beside
    write(tmp_path / name, text)
    write(tmp_path / "a.csv", f'ml,wkt\n007,"{BOX}"\n')
    assert read(tmp_path / "a.csv")["ml"].to_pylist() == ["007"]
    assert find(tmp_path / "a.csv").crs is None


def test_a_table_in_a_zip(tmp_path):
    """A zip of one table is that table; beside a layer of polygons a table is not looked at."""
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "lots.csv", f'ml,wkt\n007,"{BOX}"\n')
    write(tmp_path / "in" / "readme.txt", "A, B\nand C\n")
    assert read(zip_of(tmp_path / "in", tmp_path / "a.zip"), into=tmp_path / "1")["ml"].to_pylist() == ["007"]
    write(tmp_path / "in" / "ragged.csv", "ml,x,y\n1\n")
    table().to_file(tmp_path / "in" / "zones.shp")
    zipped = zip_of(tmp_path / "in", tmp_path / "b.zip")
    assert find(zipped, into=tmp_path / "2").layer == "zones"


def test_the_jurisdiction_file_may_name_the_column(tmp_path):
    """Of a point and an area in one row, the one that is named; a name that is not there is told."""
    write(tmp_path / "a.csv", f'ml,the_geom,outline\n1,POINT (0 0),"{BOX}"\n')
    assert shapes(read(tmp_path / "a.csv"))[0].geom_type == "Point"
    found = file_reader.find_layer(tmp_path / "a.csv", where="w", layer=None, into=tmp_path, geometry="outline")
    batch = next(file_reader.batches(found))
    assert shapely.from_wkb(batch.column("geometry").to_pylist()[0]).equals(AREA)
    assert batch.column("the_geom").to_pylist() == ["POINT (0 0)"]
    with pytest.raises(FileRefused, match="no column 'x'; it has: ml, the_geom, outline; fix `geometry`"):
        file_reader.find_layer(tmp_path / "a.csv", where="w", layer=None, into=tmp_path, geometry="x")


def test_a_table_has_the_name_of_its_file(tmp_path):
    """`layer` may name it."""
    write(tmp_path / "lots.csv", f'ml,wkt\n007,"{BOX}"\n')
    assert find(tmp_path / "lots.csv", "Lots").layer == "lots"
    refused(tmp_path / "lots.csv", "no single layer is called 'zones'", layer="zones")


def test_columns_called_as_ours(tmp_path):
    """A column `geometry` that holds the shapes, one called `fid`, and two of one name."""
    found = read(write(tmp_path / "a.csv", f'fid,geometry,n,n\n007,"{BOX}",1,2\n'))
    assert found["fid_"].to_pylist() == ["007"]
    assert shapes(found)[0].equals(AREA)
    assert [name for name in found.schema.names if name.startswith("n")] == ["n", "n_"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "no column of shapes"),
        ("just words\nand more\n", "unknown format"),
        ("ml,wkt\n1,POINT (0 0)\n\x00\n", "unknown format|NUL"),
        ("ml,wkt\n" + "1,POINT (0 0)\n" * 6000 + "\x00\n", "contains a NUL"),
        ("<table>,<tr>\n1,2", "XML or other markup"),
    ],
)
def test_what_is_no_table_of_shapes(tmp_path, text, says):
    """Named by what it is, not by how it is called."""
    refused(write(tmp_path / "a.csv", text), says)


def test_a_large_shape_is_one_cell(tmp_path):
    """A shape of 300,001 corners, 11 MB of text, is read whole."""
    turns = np.linspace(0, 2 * np.pi, 300_000, endpoint=False)
    ring = shapely.Polygon(np.column_stack([np.cos(turns), np.sin(turns)]) / 2)
    write(tmp_path / "a.csv", f'ml,wkt\n1,"{ring.wkt}"\n2,"{BOX}"\n')
    assert shapely.get_num_coordinates(shapes(read(tmp_path / "a.csv"))).tolist() == [300_001, 5]


def test_a_table_is_as_good_as_any_file(tmp_path):
    """The same lots as a table and as GeoJSON give the same rows and hashes."""
    lots = table(30).to_crs(4326)[["ml", "geometry"]]
    west, south, east, north = lots.total_bounds
    bounds = (west - 0.01, south - 0.01, east + 0.01, north + 0.01)
    lots.to_file(tmp_path / "a.geojson", COORDINATE_PRECISION=15)
    lots.assign(the_geom=lots.geometry.to_wkt(rounding_precision=15))[["ml", "the_geom"]].to_csv(tmp_path / "a.csv")
    lots.assign(n=None)[["ml", "geometry"]].to_file(tmp_path / "a.gpkg")
    rows, held = hashes(tmp_path / "a.geojson", bounds=bounds)
    assert (len(rows), held) == (30, [])
    assert hashes(tmp_path / "a.gpkg", bounds=bounds) == (rows, held)
    (tmp_path / "b.csv").write_text(
        "\n".join(line.partition(",")[2] for line in (tmp_path / "a.csv").read_text().splitlines())
    )
    assert hashes(tmp_path / "b.csv", bounds=bounds) == (rows, held)


def test_the_temporary_folder_is_ours(tmp_path):
    """Nothing is written beside the file; the same table made ready twice is one."""
    path = write(tmp_path / "a.csv", f'ml,straße,wkt\n1,é,"{BOX}"\n', "cp1252")
    for _ in range(2):
        list(file_reader.batches(find(path, into=tmp_path / "into")))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.csv", "into"]
    assert len(list((tmp_path / "into").rglob("*.csv"))) == 1


def test_a_head_is_looked_at_without_harm():
    """Any bytes: a head or none, never an error."""
    for start in (b"", b"\xff\xfe", b"\xff\xfea", b'"' * 1000, b",,,,\n", b"\x00,\x00", b"a,b", b",\n" * 5000):
        found = delimited_text.head_of(start)
        assert found is None or len(found.columns) >= 2
    with pytest.raises(FileRefused):
        delimited_text.ready(Path(), b"a,b\n", "w", Path())
