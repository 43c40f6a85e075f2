"""GML's shapes and attributes: each as it stands, or named for what cannot be read of it."""

import math
import warnings
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely

from tests.support.shared_data import recorded
from zoning_assets.transform.decode import gml, xml_limits
from zoning_assets.transform.decode.esri import esri_curves, esri_json
from zoning_assets.transform.decode.feature_collection import FeaturePage, read_gml
from zoning_assets.transform.geometry.rings import NOT_NUMBERS

HEAD = 'xmlns:gml="http://www.opengis.net/gml" xmlns:xlink="http://www.w3.org/1999/xlink"'
SQUARE = "0 0 0 1 1 1 1 0 0 0"
CUBE = "0 0 9 0 1 9 1 1 9 1 0 9 0 0 9"


def page(*shapes: str, kinds: dict[str, str] | None = None) -> FeaturePage:
    """A page of rows with these shapes."""
    rows = "".join(f"<gml:featureMember><row><g>{shape}</g></row></gml:featureMember>" for shape in shapes)
    return read_gml(f"<FeatureCollection {HEAD}>{rows}</FeatureCollection>".encode(), kinds or {})


def curve(*segments: str) -> str:
    inner = "".join(segments)
    return f"<gml:Ring><c><gml:Curve><gml:segments>{inner}</gml:segments></gml:Curve></c></gml:Ring>"


def segment(kind: str, numbers: str) -> str:
    return f"<gml:{kind}><gml:posList>{numbers}</gml:posList></gml:{kind}>"


def polygon(ring: str, inner: str = "") -> str:
    return f"<gml:Polygon><gml:exterior>{ring}</gml:exterior>{inner}</gml:Polygon>"


def ring(numbers: str, dimension: str = "") -> str:
    return f"<gml:LinearRing><gml:posList{dimension}>{numbers}</gml:posList></gml:LinearRing>"


def positions(*corners: str) -> str:
    inner = "".join(f"<gml:pos>{each}</gml:pos>" for each in corners)
    return f"<gml:LinearRing>{inner}</gml:LinearRing>"


COORDS = "".join(f"<gml:coord><gml:X>{x}</gml:X><gml:Y>{y}</gml:Y></gml:coord>" for x, y in ((0, 0), (0, 2), (2, 0)))
HOLE = f"<gml:interior>{ring('.2 .2 .2 .4 .4 .4 .2 .2')}</gml:interior>"
OLD_RING = "<gml:LinearRing><gml:coordinates{words}>{text}</gml:coordinates></gml:LinearRing>"


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (polygon(ring(SQUARE)), 1),
        (polygon(ring(SQUARE), HOLE), 0.98),
        (polygon(ring(CUBE, ' srsDimension="3"')), 1),
        (f'<gml:MultiSurface srsDimension="3"><m>{polygon(ring(CUBE))}</m></gml:MultiSurface>', 1),
        (f"<gml:MultiPolygon><gml:polygonMember>{polygon(ring(SQUARE))}</gml:polygonMember></gml:MultiPolygon>", 1),
        (f"<gml:Surface><p>{polygon(ring(SQUARE)).replace('gml:Polygon', 'gml:PolygonPatch')}</p></gml:Surface>", 1),
        (polygon(positions("0 0", "0 2", "2 0")), 2),
        (polygon(OLD_RING.format(words="", text="0,0 0,2 2,0 0,0")).replace("exterior", "outerBoundaryIs"), 2),
        (polygon(OLD_RING.format(words=' decimal="," cs=";" ts="|"', text="0;0|0;1,5|2;0|0;0")), 1.5),
        (polygon(f"<gml:LinearRing>{COORDS}</gml:LinearRing>"), 2),
    ],
)  # fmt: skip
def test_polygons_in_each_spelling_of_gml(shape: str, area: float) -> None:
    """GML 2 and 3, wrapped or bare, with heights or without."""
    rows = page(shape).rows
    assert dict(rows.flaws) == {}
    assert shapely.area(rows.geometry[0]) == pytest.approx(area)


def test_arcs_are_drawn_as_chords_and_said() -> None:
    """A half circle over a line: its area within a ten-thousandth."""
    half = curve(segment("Arc", "0 0 1 1 2 0"), segment("LineStringSegment", "2 0 0 0"))
    rows = page(polygon(half)).rows
    assert shapely.area(rows.geometry[0]) == pytest.approx(math.pi / 2, rel=1e-4)
    assert dict(rows.flaws) == {0: esri_json.CURVES_LINEARIZED}


@pytest.mark.parametrize(
    ("shape", "flaw"),
    [
        (polygon(ring("0 0 0 x 1 1 0 0")), NOT_NUMBERS),
        (polygon(ring("0 0 0 1_0 1 1 0 0")), NOT_NUMBERS),
        (polygon(ring("0 0 0 NaN 1 1 0 0")), NOT_NUMBERS),
        (polygon(ring("0 0 0 1 1")), NOT_NUMBERS),
        (polygon(positions("0 0", "0", "2 0")), NOT_NUMBERS),
        (polygon(OLD_RING.format(words="", text="0,0 x,1 1,1 0,0")), NOT_NUMBERS),
        (f'<gml:Surface>{polygon(ring(SQUARE))}<gml:m xlink:href="#p"/></gml:Surface>', gml.REMOTE_GEOMETRY),
        ("<gml:Point><gml:pos>1 1</gml:pos></gml:Point>", esri_json.NO_AREA),
        ("<gml:LineString><gml:posList>1 1 2 2</gml:posList></gml:LineString>", esri_json.NO_AREA),
        (polygon(curve(segment("Circle", "0 0 1 1 2 0"))), esri_json.CURVE),
        (polygon("<gml:Ring><c><gml:OrientableCurve/></c></gml:Ring>"), esri_json.CURVE),
    ],
)  # fmt: skip
def test_what_cannot_be_read_costs_its_own_row_only(shape: str, flaw: str) -> None:
    """GDAL takes "x" for 0, leaves out what stands elsewhere, and ends at an odd number of coordinates, silently."""
    rows = page(polygon(ring(SQUARE)), shape, polygon(ring(SQUARE))).rows
    assert dict(rows.flaws) == {1: flaw}
    assert [shapely.area(each) if each is not None else 0 for each in rows.geometry] == [1, 0, 1]


def test_attributes_are_what_the_schema_says() -> None:
    """Keys with leading zeros stay text; nil and empty are nothing; a column that comes twice is a list."""
    row = (
        "<gml:boundedBy><gml:Null/></gml:boundedBy><gml:name>n</gml:name><gml:description/><pin>007</pin><n>007</n>"
        '<f>1.50</f><b>true</b><odd>1x</odd><e></e><nil nil="true">x</nil><two>1</two><two>2</two>'
        "<when><gml:TimeInstant><gml:timePosition>2014-01-01</gml:timePosition></gml:TimeInstant></when>"
    )
    member = f'<gml:featureMember><row fid="r.7">{row}</row></gml:featureMember>'
    body = f"<FeatureCollection {HEAD}>{member}</FeatureCollection>"
    kinds = {"n": gml.INTEGER, "f": gml.NUMBER, "b": gml.BOOLEAN, "odd": gml.INTEGER}
    found = read_gml(body.encode(), kinds)
    assert found.ids == ["r.7"]
    assert found.rows.attributes == [
        {"name": "n", "pin": "007", "n": 7, "f": 1.5, "b": True, "odd": "1x", "e": None, "nil": None}
        | {"two": ["1", "2"], "when": "2014-01-01"}
    ]
    assert found.rows.geometry[0] is None


@pytest.mark.parametrize(
    "body",
    [
        b"<html/>",
        b"<Exception/>",
        b"<FeatureCollection><member><FeatureCollection/></member></FeatureCollection>",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "y">]><FeatureCollection>&x;</FeatureCollection>',
        b'<?xml version="1.0" encoding="UTF-16"?><FeatureCollection/>',
        "<FeatureCollection/>".encode("utf-16"),
        b"<FeatureCollection>" + b"<a/>" * 3_000_001 + b"</FeatureCollection>",
        b"<FeatureCollection>" + b"<a>" * 1000 + b"</a>" * 1000 + b"</FeatureCollection>",
        b"<FeatureCollection><a>",
        b"<FeatureCollection>&undefined;</FeatureCollection>",
        b"",
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_page_is_refused(body: bytes) -> None:
    """Other documents, document types, encodings that hide them, and what would fill the memory."""
    with pytest.raises(ValueError, match=r"."):
        read_gml(body, {})


def test_curves_of_a_page_are_bounded() -> None:
    """What was drawn in vain is work, too: the page's budget is spent once, not once a row."""
    arcs = "0 0 " + " ".join(f"{i} 1 {i} 0" for i in range(5_000))
    shape = polygon(curve(segment("ArcString", arcs)))
    body = f"<FeatureCollection {HEAD}><member><row><g>{shape}</g></row></member></FeatureCollection>"
    root = xml_limits.parse(body.encode())
    budget = esri_curves.VertexBudget()
    assert gml.read_feature(gml.feature_elements(root)[0], {}, budget).flaw == esri_json.CURVE
    assert budget.vertices == 0
    assert gml.read_feature(gml.feature_elements(root)[0], {}, budget).flaw == esri_json.CURVE


@pytest.mark.parametrize("name", ["page.xml", "page_110.xml"])
def test_gdal_reads_the_same_shapes(tmp_path: Path, name: str) -> None:
    """On what a real server sends, an independent reader agrees to the last bit."""
    body = recorded(f"live_peers/mapserver/{name}").read_bytes()
    (tmp_path / "page.gml").write_bytes(body)
    options = {"DOWNLOAD_SCHEMA": "NO", "INVERT_AXIS_ORDER_IF_LAT_LONG": "NO", "CONSIDER_EPSG_AS_URN": "NO"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, _, theirs, _ = pyogrio.raw.read(tmp_path / "page.gml", **options)
    ours = read_gml(body, {}).rows.geometry
    assert len(ours) == len(theirs)
    for one, other in zip(ours, shapely.from_wkb(theirs), strict=True):
        assert np.array_equal(shapely.get_coordinates(one), shapely.get_coordinates(other))
