"""Real answers of WFS and OGC API servers, damaged at random: understood, or refused by one kind of error; in time."""

import copy
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from tests.support.effort import assert_cost
from tests.support.sampling import examples
from tests.support.shared_data import recorded
from tests.transform.accidents import damaged, mangled
from zoning_assets.errors import ZoningError
from zoning_assets.sources.ogc_api_features import collection_metadata
from zoning_assets.sources.wfs import wfs_capabilities
from zoning_assets.transform.decode import axis_order, feature_batches, json_pages, row_identity
from zoning_assets.transform.decode.feature_collection import FeaturePage, read_geojson, read_gml

MAPSERVER = "live_peers/mapserver"
#: How many times more work a damaged answer may be than the sound one. What hangs, or is quadratic, is far beyond.
MOST_WORK = 1000
MOST_BYTES = 64 << 20
#: What stands where something else stood.
WORDS = st.sampled_from(
    [
        *(
            "",
            "x",
            "0",
            "-1",
            "NaN",
            "1e400",
            "1_0",
            "9" * 400,
            "unknown",
            "true",
            "1 2 3",
            "0,0 1,1",
            "\u0663",
            "a:b:c",
        ),
        *("urn:ogc:def:crs:EPSG::4326", "EPSG:", "urn:x-ogc:def:crs:EPSG:" + "9" * 50, "http://[", "#p", "../../etc"),
    ]
)
NAMES = st.sampled_from(
    [
        *("Polygon", "MultiSurface", "LinearRing", "posList", "pos", "coordinates", "exterior", "interior", "Ring"),
        *("Arc", "ArcString", "Curve", "segments", "member", "featureMembers", "FeatureCollection", "Tuple", "name"),
        *("FeatureType", "Name", "Value", "Parameter", "element", "complexType", "restriction", "Exception", "Null"),
    ]
)
ATTRIBUTES = [
    "id",
    "fid",
    "srsName",
    "srsDimension",
    "nil",
    "type",
    "name",
    "version",
    "numberMatched",
    "numberReturned",
]


@st.composite
def rewritten(draw: st.DrawFn, body: bytes) -> bytes:
    """The document with some elements renamed, moved, doubled, lost, nested, or with other words in them."""
    root = etree.fromstring(body)
    for _ in range(draw(st.integers(1, 6))):
        elements = list(root.iter(etree.Element))
        one, other = (elements[draw(st.integers(0, len(elements) - 1))] for _ in range(2))
        accident = draw(st.sampled_from(["text", "attribute", "rename", "deep", "lose", "move", "double"]))
        if accident in ("lose", "move", "double"):
            _moved(accident, root, one, other)
        else:
            _reworded(draw, accident, one)
    return bytes(etree.tostring(root))


def _reworded(draw: st.DrawFn, accident: str, one: Any) -> None:
    if accident == "text":
        one.text = draw(WORDS)
    elif accident == "attribute":
        one.set(draw(st.sampled_from([*ATTRIBUTES, *map(str, one.attrib)])), draw(WORDS))
    elif accident == "rename":
        one.tag = draw(st.sampled_from(["", "{http://www.opengis.net/gml}", "{urn:x}"])) + draw(NAMES)
    else:
        for _ in range(draw(st.sampled_from([20, 200, 300]))):
            one = etree.SubElement(one, "Polygon")


def _moved(accident: str, root: Any, one: Any, other: Any) -> None:
    parent = one.getparent()
    if one is root or parent is None or other in list(one.iter()):
        return
    if accident == "double":
        parent.append(copy.deepcopy(one))
    elif accident == "lose":
        parent.remove(one)
    else:
        other.append(one)


def page_of(read: Callable[[bytes], FeaturePage]) -> Callable[[bytes], None]:
    """Reads a page, and does with it what a walk does."""

    def judged(body: bytes) -> None:
        page = read(body)
        assert len(page.rows.attributes) == len(page.rows.geometry) == len(page.ids)
        assert set(page.rows.flaws) <= set(range(len(page.rows)))
        assert page.matched is None or 0 <= page.matched <= 50_000_000
        ids = row_identity.row_ids(
            page.ids, page.rows, row_identity.id_column(name for row in page.rows.attributes for name in row)
        )
        axis_order.choose_reading(
            page.rows.geometry,
            axis_order.candidate_readings([("x", axis_order.parse_crs_name(page.crs or axis_order.CRS84))], None),
            (-180, -90, 180, 90),
            "x",
        )
        assert len(feature_batches.to_batch(ids, page.rows)) == len(page.rows)
        at = collection_metadata.CollectionAddress("https://ann:pw@example.org/collections/a", {"key": "k"}, {})
        onward = at.next_address(page.link("next") or "", at.items, {"f": "json"}, "x")
        assert onward.startswith("https://ann:pw@example.org/")
        assert "key=k" in onward

    return judged


def schema(body: bytes) -> None:
    found = wfs_capabilities.schema(wfs_capabilities.read(body, "x"), "ms:parcels", "x")
    assert set(found.columns.values()) <= {"integer", "number", "boolean", "text"}


def capabilities(body: bytes) -> None:
    found = wfs_capabilities.capabilities(wfs_capabilities.read(body, "x"), "x")
    for each in found.types.values():
        axis_order.parse_crs_name(each.crs)
        assert each.geojson is None or each.geojson in each.formats
    wfs_capabilities.choose(found.types, "parcels", "x")


def refusal(body: bytes) -> None:
    wfs_capabilities.read(body, "x")


def collection(body: bytes) -> None:
    document = json_pages.decode(body)
    collection_metadata.check(document, "x")
    assert collection_metadata.wanted_crs(document) is None or isinstance(collection_metadata.wanted_crs(document), str)
    collection_metadata.names(document)


XML: dict[str, tuple[Callable[[bytes], None], list[str]]] = {
    "gml": (
        page_of(lambda body: read_gml(body, {"OBJECTID": "integer"})),
        ["page.xml", "page_110.xml"],
    ),
    "schema": (schema, ["describe.xml"]),
    "capabilities": (capabilities, ["caps200.xml"]),
    "refusal": (refusal, ["exception.xml"]),
}
JSON: dict[str, tuple[Callable[[bytes], None], list[str]]] = {
    "geojson": (page_of(read_geojson), ["pygeoapi/items.json", "tipg/items.json", "mapserver/page.geojson"]),
    "documents": (collection, ["pygeoapi/landing.json", "pygeoapi/queryables.json", "tipg/limit422.json"]),
}


def survives(judge: Callable[[bytes], None], body: bytes) -> None:
    """Whatever it is, it is understood, or refused in one line."""
    try:
        judge(body)
    except (ValueError, ZoningError) as error:
        assert len(str(error).splitlines()) <= 1, str(error)  # noqa: PT017 - the other outcome is as good


def accident(data: Any, name: str) -> tuple[Callable[[bytes], None], bytes, bytes]:
    """Who judges, a recorded answer, and what it is after something happened to it."""
    if name in XML:
        judge, files = XML[name]
        body = recorded(f"{MAPSERVER}/{data.draw(st.sampled_from(files))}").read_bytes()
        return judge, body, data.draw(st.one_of(rewritten(body), rewritten(body), damaged(body)))
    judge, files = JSON[name]
    body = recorded(f"live_peers/{data.draw(st.sampled_from(files))}").read_bytes()
    return judge, body, data.draw(st.one_of(mangled(body), mangled(body), damaged(body)))


@pytest.mark.parametrize("name", [*XML, *JSON])
@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_answer_is_understood_or_refused(name: str, data: Any) -> None:
    """Elements renamed, moved, nested or lost, values replaced, bits flipped: no crash and no hang."""
    judge, sound, body = accident(data, name)
    assert_cost(lambda: survives(judge, body), lambda: survives(judge, sound), at_most=MOST_WORK)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [*XML, *JSON])
@settings(max_examples=3000, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_very_many_damaged_answers_are_understood_or_refused(name: str, data: Any) -> None:
    """The same, thousands of times, and within a limit of memory."""
    judge, _, body = accident(data, name)
    tracemalloc.start()
    try:
        survives(judge, body)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [*XML, *JSON])
def test_what_is_not_damaged_is_not_refused(name: str) -> None:
    """So that what goes before is the damage's doing; a refusal is one, and no page's link leads to another origin."""
    judge, files = (XML | JSON)[name]
    folder = MAPSERVER if name in XML else "live_peers"
    outcomes = []
    for file in files:
        try:
            judge(recorded(f"{folder}/{file}").read_bytes())
            outcomes.append("understood")
        except ZoningError as error:
            outcomes.append(type(error).__name__)
    expected = {
        "refusal": ["FeedRefused"],
        "documents": ["NotALayer"] * 3,
        "geojson": ["FeedRefused"] * 2 + ["understood"],
    }
    assert outcomes == expected.get(name, ["understood"] * len(files))
