"""Decode a page of OGC API Features or WFS, in GeoJSON or GML: its rows, its counts, its CRS and its links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoning_assets.transform.decode import geojson, gml, json_pages, xml_limits
from zoning_assets.transform.decode.esri import esri_curves
from zoning_assets.transform.decode.json_pages import attributes_of, decode_attributes, features_of
from zoning_assets.transform.decode.rows import Rows

#: A larger count is not plausible for a jurisdiction, and is ignored.
_MAX_ROWS = 50_000_000


@dataclass(frozen=True)
class FeaturePage:
    """A page of features.

    ids: the portal's id of each row, None if a row has none. matched, returned: the numbers of rows in the layer and in
    the page that the portal states; None if it states none. crs: the name of the CRS in the page, or empty.
    """

    rows: Rows
    ids: Sequence[Any]
    matched: int | None
    returned: int | None
    crs: str
    links: Sequence[Mapping[str, Any]] = ()

    def link(self, relation: str) -> str | None:
        """Return the address of the link with this relation; None if there is none."""
        found = (link.get("href") for link in self.links if link.get("rel") == relation)
        return next((href for href in found if isinstance(href, str) and href), None)


def read_geojson(body: bytes) -> FeaturePage:
    """Decode a GeoJSON page.

    Raises:
        ValueError: the body is not a GeoJSON page.
    """
    page = json_pages.read_page(body, "properties")
    document, features = page.document, page.features
    shapes, flaws = geojson.shapes_of([feature.get("geometry") for feature in features])
    links = document.get("links")
    named = _member(document, "crs", "properties", "name")
    return FeaturePage(
        Rows(page.attributes, shapes, {**page.notes, **flaws}),
        [feature.get("id") for feature in features],
        _number(document.get("numberMatched", document.get("totalFeatures"))),
        _number(document.get("numberReturned")),
        named if isinstance(named, str) else "",
        [link for link in links if isinstance(link, dict)] if isinstance(links, list) else [],
    )


def check_geojson(body: bytes) -> None:
    """Check that the body is a GeoJSON page; shapes are not decoded.

    Raises:
        ValueError: the body is not a GeoJSON page.
    """
    attributes_of(features_of(decode_attributes(body)), "properties")


def read_gml(body: bytes, kinds: Mapping[str, str]) -> FeaturePage:
    """Decode a GML page.

    Args:
        body: the page.
        kinds: column -> type of its values (gml.INTEGER, NUMBER, BOOLEAN, TEXT).

    Raises:
        ValueError: the body is not a GML page, or its shapes are in several CRS.
    """
    root = xml_limits.parse(body)
    if xml_limits.name(root) not in ("FeatureCollection", "SimpleFeatureCollection"):
        message = f"not a feature collection, but {xml_limits.name(root)}"
        raise ValueError(message)
    budget = esri_curves.VertexBudget()
    found = [gml.read_feature(each, kinds, budget) for each in gml.feature_elements(root)]
    shapes, flaws = geojson.shapes_of([each.geometry for each in found])
    flaws |= {i: each.flaw for i, each in enumerate(found) if each.flaw}
    rows = Rows([each.attributes for each in found], shapes, flaws)
    names = {each.crs for each in found if each.crs}
    if len(names) > 1:
        message = f"the page has shapes in several CRS: {', '.join(sorted(names)[:4])}"
        raise ValueError(message)
    ids = [each.id or None for each in found]
    return FeaturePage(rows, ids, *row_counts(root), "".join(names))


def row_counts(root: xml_limits.Element) -> tuple[int | None, int | None]:
    """Return the numbers of rows in the layer and in the page that a WFS states; None if it states none.

    WFS 1.1 has only the second number. In a response without rows (`resultType=hits`) it is the number in the layer.
    """
    matched, returned = (xml_limits.attribute(root, each) for each in ("numberMatched", "numberReturned"))
    return _number(matched), _number(returned or xml_limits.attribute(root, "numberOfFeatures"))


def _number(raw: Any) -> int | None:
    """Parse a number of rows; None for "unknown" and for every value that is not a plausible number."""
    if isinstance(raw, str) and raw.isdecimal() and raw.isascii() and len(raw) < 12:
        raw = int(raw)
    return raw if type(raw) is int and 0 <= raw <= _MAX_ROWS else None


def _member(document: Any, *path: str) -> Any:
    for step in path:
        document = document.get(step) if isinstance(document, dict) else None
    return document
