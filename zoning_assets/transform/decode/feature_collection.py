"""A page of features as OGC API Features and WFS give it, in GeoJSON or GML: its rows, and what it says of itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoning_assets.transform.decode import geojson, gml, json_limits, xml_limits
from zoning_assets.transform.decode.esri import esri_curves
from zoning_assets.transform.decode.json_limits import attributes_of, decode_attributes, features_in
from zoning_assets.transform.decode.rows import Rows

#: A count above it is no county's.
_MOST_ROWS = 50_000_000


@dataclass(frozen=True)
class Collection:
    """A page. `own`: the rows' own ids, None where one has none. `crs`: the name that the page gives its CRS.

    `matched` and `returned`: how many rows the portal says there are, and are here; None where it does not say.
    """

    rows: Rows
    own: Sequence[Any]
    matched: int | None
    returned: int | None
    crs: str
    links: Sequence[Mapping[str, Any]] = ()

    def link(self, relation: str) -> str | None:
        """Where a link of that relation leads; None where there is none."""
        found = (link.get("href") for link in self.links if link.get("rel") == relation)
        return next((href for href in found if isinstance(href, str) and href), None)


def of_geojson(body: bytes) -> Collection:
    """A GeoJSON page.

    Raises:
        ValueError: it is none.
    """
    page = json_limits.read(body, "properties")
    document, features = page.document, page.features
    shapes, flaws = geojson.shapes_of([feature.get("geometry") for feature in features])
    links = document.get("links")
    named = _member(document, "crs", "properties", "name")
    return Collection(
        Rows(page.attributes, shapes, {**page.notes, **flaws}),
        [feature.get("id") for feature in features],
        _number(document.get("numberMatched", document.get("totalFeatures"))),
        _number(document.get("numberReturned")),
        named if isinstance(named, str) else "",
        [link for link in links if isinstance(link, dict)] if isinstance(links, list) else [],
    )


def check_geojson(body: bytes) -> None:
    """Whether it is a GeoJSON page, without its shapes, in which nothing is an error.

    Raises:
        ValueError: it is none.
    """
    attributes_of(features_in(decode_attributes(body)), "properties")


def of_gml(body: bytes, kinds: Mapping[str, str]) -> Collection:
    """A GML page.

    Args:
        body: the page.
        kinds: column -> what its text means, as gml.value has it.

    Raises:
        ValueError: it is none.
    """
    root = xml_limits.parse(body)
    if xml_limits.name(root) not in ("FeatureCollection", "SimpleFeatureCollection"):
        message = f"no features, but {xml_limits.name(root)}"
        raise ValueError(message)
    budget = esri_curves.Budget()
    found = [gml.feature(each, kinds, budget) for each in gml.features(root)]
    shapes, flaws = geojson.shapes_of([each.geometry for each in found])
    flaws |= {i: each.flaw for i, each in enumerate(found) if each.flaw}
    rows = Rows([each.attributes for each in found], shapes, flaws)
    names = {each.crs for each in found if each.crs}
    if len(names) > 1:
        message = f"one page has shapes in several CRS: {', '.join(sorted(names)[:4])}"
        raise ValueError(message)
    own = [each.id or None for each in found]
    return Collection(rows, own, *counts(root), "".join(names))


def counts(root: xml_limits.Element) -> tuple[int | None, int | None]:
    """How many rows a WFS says there are (2.0), and are here; 1.1 has one number, which in an answer without rows
    (`resultType=hits`) says how many there are."""
    matched, returned = (xml_limits.attribute(root, each) for each in ("numberMatched", "numberReturned"))
    return _number(matched), _number(returned or xml_limits.attribute(root, "numberOfFeatures"))


def _number(raw: Any) -> int | None:
    """A number of rows; "unknown", and whatever else is none, is None."""
    if isinstance(raw, str) and raw.isdecimal() and raw.isascii() and len(raw) < 12:
        raw = int(raw)
    return raw if type(raw) is int and 0 <= raw <= _MOST_ROWS else None


def _member(document: Any, *path: str) -> Any:
    for step in path:
        document = document.get(step) if isinstance(document, dict) else None
    return document
