"""Recorded answers of real servers (../shared/recorded/wfs, live_peers): what must come out of each."""

import orjson
import pytest
import shapely

from tests.support.shared_data import recorded
from zoning_assets.errors import FeedRefused, NotALayer
from zoning_assets.sources.ogc_api_features import collection_metadata
from zoning_assets.sources.wfs import wfs_capabilities
from zoning_assets.transform.decode import axis_order, gml
from zoning_assets.transform.decode.feature_collection import read_geojson, read_gml, row_counts
from zoning_assets.transform.decode.xml_limits import parse

BOUNDS = (-71.17, 42.35, -71.06, 42.41)
JSON, GEOJSON = "json", "application/json; subtype=geojson"
KOELN = "adressen_stadtteil:Altstadt_Nord"


def capabilities(path: str) -> wfs_capabilities.Capabilities:
    return wfs_capabilities.capabilities(wfs_capabilities.read(recorded(path).read_bytes(), "x"), "x")


@pytest.mark.parametrize(
    ("path", "version", "types", "first", "sequence", "most"),
    [
        ("live_peers/mapserver/caps200.xml", "2.0.0", 2, ("ms:parcels", "EPSG:2249", GEOJSON), None, 1000),
        ("wfs/mapserver-wfs-cap.xml", "1.0.0", 25, ("antarctic_ice_shelves_fill", "EPSG:3031", None), "0", None),
        ("wfs/wfs_mapserver_demo_getcapabilities_100.xml", "1.0.0", 2, ("continents", "EPSG:4326", None), "0", None),
        ("wfs/wfs_dov_getcapabilities_100_nometadata.xml", "1.0.0", 1, (None, "EPSG:31370", None), None, None),
        ("wfs/wfs_dov_getcapabilities_100_verbOptions.xml", "1.0.0", 1, (None, "EPSG:31370", None), None, None),
        ("wfs/wfs_HSRS_GetCapabilities_1_1_0.xml", "1.1.0", 8, (None, "EPSG:4326", None), None, None),
        ("wfs/wfs_dov_getcapabilities_110.xml", "1.1.0", 1, (None, "EPSG:31370", JSON), "24195", None),
        ("wfs/wfs_dov_getcapabilities_110_nometadata.xml", "1.1.0", 1, (None, "EPSG:31370", JSON), "24195", None),
        ("wfs/wfs_dov_getcapabilities_200.xml", "2.0.0", 1, (None, "EPSG:31370", JSON), "24195", 10_000),
        ("wfs/wfs_dov_getcapabilities_200_nometadata.xml", "2.0.0", 1, (None, "EPSG:31370", JSON), "24195", 10_000),
        ("wfs/wfs_koeln_arcgis_getcapabilities_110.xml", "1.1.0", 86, (KOELN, "EPSG:25832", None), None, None),
        ("wfs/wfs_koeln_arcgis_getcapabilities_200.xml", "2.0.0", 86, (KOELN, "EPSG:25832", "GEOJSON"), None, None),
        ("wfs/wfs_CUZK_GetCapabilities_2_0_0.xml", "2.0.0", 3, (None, "ESRI:102067", None), None, None),
    ],
)  # fmt: skip
def test_capabilities_of_real_servers(
    path: str, version: str, types: int, first: tuple[str | None, ...], sequence: str | None, most: int | None
) -> None:
    """Version, layers, their CRS and GeoJSON, and what an answer holds at most."""
    found = capabilities(path)
    assert (found.version, len(found.types), found.sequence, found.most_rows) == (version, types, sequence, most)
    each = next(iter(found.types.values()))
    name = axis_order.parse_crs_name(each.crs)
    assert (first[0] or each.name, name and name.crs, each.geojson) == (each.name, *first[1:])


@pytest.mark.parametrize(
    ("path", "layer", "columns", "kinds", "hides"),
    [
        ("live_peers/mapserver/describe.xml", "ms:parcels", 11, {"OBJECTID": gml.INTEGER, "UYEAR": gml.NUMBER}, True),
        ("wfs/wfs_schema_dov_hhz.xml", "gw_varia:hhz", 4, {"opp_m2": gml.INTEGER, "hhz": gml.TEXT}, False),
        ("wfs/mapserver-wfs-schema.xml", "IBA", 0, {}, True),
    ],
)  # fmt: skip
def test_schemas_of_real_servers(path: str, layer: str, columns: int, kinds: dict[str, str], hides: bool) -> None:
    """The columns without those of shapes, and what their text means."""
    found = wfs_capabilities.schema(wfs_capabilities.read(recorded(path).read_bytes(), "x"), layer, "x")
    assert len(found.columns) == columns
    assert {name: found.columns[name] for name in kinds} == kinds
    assert (len(found.shapes), found.hides) == (1, hides)


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("wfs/wfs_schema_dov_boringen.xml", "dov-pub:Boringen"),
        ("wfs/wfs_koeln_arcgis_describefeaturetype_110.xml", "adressen_stadtteil:Blumenberg"),
        ("wfs/wfs_koeln_arcgis_describefeaturetype_200.xml", "adressen_stadtteil:Blumenberg"),
    ],
)
def test_layers_of_points_are_refused(path: str, layer: str) -> None:
    """By what their schema says, before a row is asked for."""
    with pytest.raises(NotALayer, match="this is a layer of Point"):
        wfs_capabilities.schema(wfs_capabilities.read(recorded(path).read_bytes(), "x"), layer, "x")


def test_a_feed_of_another_kind_is_no_service() -> None:
    """An Atom document that tells of a WFS is none."""
    with pytest.raises(NotALayer, match="this is feed"):
        capabilities("wfs/wfs_100entries.xml")


def test_mapservers_refusal_is_named() -> None:
    """An exception report, with its code and words."""
    with pytest.raises(FeedRefused, match=r"InvalidParameterValue: msWFS.*TYPENAME 'nope' doesn't exist"):
        wfs_capabilities.read(recorded("live_peers/mapserver/exception.xml").read_bytes(), "x")


@pytest.mark.parametrize(
    ("name", "matched", "returned", "crs", "swap", "why"),
    [
        ("page.xml", 13_115, 3, "EPSG:2249", False, "the first number is x"),
        ("page_110.xml", None, None, "EPSG:4326", True, "the second number is x, unlike its definition"),
    ],
)
def test_mapservers_gml(name: str, matched: int | None, returned: int | None, crs: str, swap: bool, why: str) -> None:
    """Ids, the count that leaves out the row without a shape, and degrees in the order that only the bounds tell."""
    body = recorded(f"live_peers/mapserver/{name}").read_bytes()
    page = read_gml(body, {"OBJECTID": gml.INTEGER})
    assert list(page.ids) == ["parcels.1", "parcels.2", "parcels.3"][: len(page.rows)]
    assert (page.matched, page.returned) == (matched, returned) == row_counts(parse(body))
    assert page.rows.attributes[0] | {"UYEAR": 0} == {
        "OBJECTID": 1,
        "POLY_TYPE": None,
        "MAP": "127",
        "UYEAR": 0,
        "LOC_ID": "F_761210_2957494",
        "LOT": "123",
        "PLAN_ID": None,
        "EditDate": None,
        "ML": "127-123",
        "SOURCE": None,
        "Editor": None,
    }
    reading = axis_order.choose_reading(
        page.rows.geometry,
        axis_order.candidate_readings([("srsName", axis_order.parse_crs_name(page.crs))], None),
        BOUNDS,
        "x",
    )
    assert (reading.crs, reading.swap) == (crs, swap)
    assert why in reading.reason


def test_mapservers_geojson_has_no_ids() -> None:
    """Degrees without a word about them, and rows that only a column tells apart."""
    page = read_geojson(recorded("live_peers/mapserver/page.geojson").read_bytes())
    assert (list(page.ids), page.matched, page.crs) == ([None] * 3, 13_115, "")
    assert [row["OBJECTID"] for row in page.rows.attributes] == [1, 2, 3]
    inside = shapely.box(*BOUNDS)
    assert shapely.within(page.rows.geometry, inside).all()


def test_the_same_shape_by_geojson_and_by_gml() -> None:
    """Degrees with 15 digits, and feet with 6: within half a foot's millionth of one another, swapped or not."""
    degrees = read_geojson(recorded("live_peers/mapserver/page.geojson").read_bytes()).rows.geometry
    for name, tolerance in (("page.xml", 1e-9), ("page_110.xml", 1e-6)):
        page = read_gml(recorded(f"live_peers/mapserver/{name}").read_bytes(), {})
        way = axis_order.choose_reading(
            page.rows.geometry,
            axis_order.candidate_readings([("", axis_order.parse_crs_name(page.crs))], None),
            BOUNDS,
            "x",
        )
        moved = axis_order.crs.reproject(way.with_x_first(page.rows.geometry), way.crs, "EPSG:4326")
        assert all(
            shapely.hausdorff_distance(one, other) < tolerance for one, other in zip(moved, degrees, strict=False)
        )
        assert len(moved) > 1


def test_pygeoapis_page_and_its_link() -> None:
    """The `next` link has dropped f=json; it is asked for with it."""
    body = recorded("live_peers/pygeoapi/items.json").read_bytes()
    page = read_geojson(body)
    assert (list(page.ids), page.matched, page.returned) == ([1, 2], 261, 2)
    at = collection_metadata.CollectionAddress("http://127.0.0.1:18081/collections/zoning", {}, {})
    onward = at.next_address(page.link("next") or "", at.items, {"f": "json"}, "x")
    assert onward == "http://127.0.0.1:18081/collections/zoning/items?offset=2&limit=2&f=json"
    assert not collection_metadata.hides_rows(at.collection, page.links)


def test_pygeoapis_other_documents() -> None:
    """The landing page and the list are no collection; the errors and the queryables are no page."""
    read = {name: recorded(f"live_peers/pygeoapi/{name}.json").read_bytes() for name in
        ("landing", "collections", "queryables", "notfound", "bad_crs")}  # fmt: skip
    for name in ("landing", "collections", "notfound", "bad_crs"):
        with pytest.raises(NotALayer):
            collection_metadata.check(orjson.loads(read[name]), "x")
        with pytest.raises(ValueError, match="no features"):
            read_geojson(read[name])
    for document in orjson.loads(read["collections"])["collections"]:
        collection_metadata.check(document, "x")
        assert collection_metadata.wanted_crs(document) is None
    assert collection_metadata.names(orjson.loads(read["queryables"])) == ["geometry", "ZONE_TYPE", "ZCODE", "GlobalID"]


def test_tipgs_page_and_refusal() -> None:
    """The count is that of all rows, the one without a shape among them; a limit too high is told apart from rows."""
    page = read_geojson(recorded("live_peers/tipg/items.json").read_bytes())
    assert (list(page.ids), page.matched, page.returned) == ([1, 2], 13_116, 2)
    assert (page.link("next") or "").endswith("items?limit=2&offset=2")
    with pytest.raises(ValueError, match="no features"):
        read_geojson(recorded("live_peers/tipg/limit422.json").read_bytes())
