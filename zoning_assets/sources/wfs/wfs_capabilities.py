"""Parse what a WFS states: its capabilities, the columns of a layer, and its exceptions.

Source: OGC Web Feature Service 2.0 (ISO 19142) and 1.1.0, key-value pairs. The addresses in the capabilities are not
used: many of them are internal addresses behind a proxy.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from zoning_assets.errors import FeedRefused, NotALayer
from zoning_assets.model import Feed
from zoning_assets.transform.decode import gml, xml_limits
from zoning_assets.transform.decode.xml_limits import Element

VERSIONS = ("2.0.0", "1.1.0")

#: Parameters that we set; others in the file's address are added to each request.
_OURS = frozenset(
    {
        *("service", "version", "acceptversions", "request", "typename", "typenames", "outputformat", "sortby"),
        *("count", "maxfeatures", "startindex", "resulttype"),
    }
)
_GEOJSON = re.compile(r"geo\+?json|(^|[/ ])json($|;)", re.IGNORECASE)
_WHOLE = re.compile(r"(unsigned)?(int|long|short|byte)|((non)?(positive|negative))?integer", re.IGNORECASE)
_SHAPE = re.compile(r"(Geometry|Polygon|Surface|MultiPolygon|MultiSurface|MultiGeometry)(Array)?PropertyType")
_NO_AREA = re.compile(r"(Multi)?(Point|LineString|Curve)PropertyType")
#: Texts of exceptions that are temporary.
_PASSING = re.compile(
    r"time-?d? ?out|temporar|too many|overload|try again|later|connection pool|unavailable", re.IGNORECASE
)
#: MapServer's default namespace and its default name of the shape column.
_MAPSERVER, _MAPSERVER_SHAPE = "mapserver.gis.umn.edu", "msGeometry"
_MOST_TYPES = 100_000


@dataclass(frozen=True)
class FeatureType:
    """A layer, as the capabilities list it."""

    name: str
    crs: str
    formats: Sequence[str]

    @property
    def geojson(self) -> str | None:
        """The name of its GeoJSON format, the plainest of several; None: it has none."""
        found = [name for name in self.formats if _GEOJSON.search(name) and "javascript" not in name]
        return min(found, key=lambda name: ("geo" not in name.lower(), len(name)), default=None)


@dataclass(frozen=True)
class Capabilities:
    """The capabilities of a service.

    Attributes:
        version: the version of WFS.
        types: its layers by name.
        sequence: changes when the capabilities change; None: not stated.
        most_rows: rows per page; None: not stated.
    """

    version: str
    types: Mapping[str, FeatureType]
    sequence: str | None
    most_rows: int | None


@dataclass(frozen=True)
class Schema:
    """The columns of a layer.

    Attributes:
        columns: name -> type (see gml.py), without those of shapes.
        shapes: the columns of shapes.
        hides: whether the server is MapServer, see hidden_rows.py.
    """

    columns: Mapping[str, str]
    shapes: Sequence[str]
    hides: bool


@dataclass(frozen=True)
class WfsAddress:
    """The address of a service without a query, and the parameters that are added to each request."""

    url: str
    kept: Mapping[str, str]
    version: str | None  # in the file's address
    layer: str | None


def address(feed: Feed) -> WfsAddress:
    """Parse the feed's address."""
    parts = urlsplit(feed.url)
    pairs = dict(parse_qsl(parts.query, keep_blank_values=True))
    given = {name.lower(): value for name, value in pairs.items()}
    return WfsAddress(
        urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
        {name: value for name, value in pairs.items() if name.lower() not in _OURS},
        given.get("version") or given.get("acceptversions"),
        feed.layer or given.get("typenames") or given.get("typename"),
    )


def read(body: bytes, where: str) -> Element:
    """Parse an answer in XML.

    Raises:
        FeedRefused: it is an exception; the message contains its text.
        ValueError: it is not XML, or it is a temporary exception; the client retries.
    """
    root = xml_limits.parse(body)
    if xml_limits.name(root) not in ("ExceptionReport", "ServiceExceptionReport"):
        return root
    exception = next(iter(xml_limits.descendants(root, "Exception", "ServiceException")), root)
    code = xml_limits.attribute(exception, "exceptionCode") or xml_limits.attribute(exception, "code")
    words = " ".join(xml_limits.text(exception, 300).split()) or "no reason given"
    if _PASSING.search(words):
        message = f"{code}: {words}"
        raise ValueError(message)
    raise FeedRefused(
        f"the service refused the request: {code[:60] or 'exception'}: {words}",
        where=where,
        do="check the address and `layer`",
    )


def capabilities(root: Element, where: str) -> Capabilities:
    """Parse a service's capabilities.

    Raises:
        NotALayer: they are not those of a supported WFS version.
    """
    version = xml_limits.attribute(root, "version")
    if xml_limits.name(root) != "WFS_Capabilities" or version[:3] not in ("2.0", "1.1", "1.0"):
        what = f"this is {xml_limits.name(root)[:60]} {version[:20]}, not the capabilities of a WFS 2.0 or 1.1"
        raise NotALayer(what, where=where, do="check the address")
    formats = [xml_limits.text(each, 200) for each in _values(root, "GetFeature", "outputFormat")]
    types = [_type(each, formats) for each in xml_limits.descendants(root, "FeatureType")][:_MOST_TYPES]
    most = [xml_limits.text_at(each, "DefaultValue") for each in _constraints(root, "CountDefault")]
    return Capabilities(
        version,
        {each.name: each for each in types if each.name},
        xml_limits.attribute(root, "updateSequence")[:200] or None,
        next((int(each) for each in most if re.fullmatch(r"[1-9]\d{0,7}", each, re.ASCII)), None),
    )


def _type(element: Element, formats: Sequence[str]) -> FeatureType:
    own = [xml_limits.text(each, 200) for each in xml_limits.descendants(element, "Format")]
    crs = (xml_limits.text_at(element, name) for name in ("DefaultCRS", "DefaultSRS", "SRS"))
    return FeatureType(xml_limits.text_at(element, "Name")[:500], next(filter(None, crs), "")[:500], own or formats)


def _values(root: Element, operation: str, parameter: str) -> Iterable[Element]:
    """The allowed values of a parameter of an operation."""
    for each in xml_limits.descendants(root, "Operation"):
        if each.get("name") == operation:
            named = (inner for inner in xml_limits.descendants(each, "Parameter") if inner.get("name") == parameter)
            yield from (value for inner in named for value in xml_limits.descendants(inner, "Value"))


def _constraints(root: Element, named: str) -> Iterable[Element]:
    return (each for each in xml_limits.descendants(root, "Constraint") if each.get("name") == named)


def choose(types: Mapping[str, FeatureType], layer: str | None, where: str) -> FeatureType:
    """The layer that the feed means.

    Raises:
        NotALayer: there is no such layer, or several; the message lists the layers.
    """
    exact = [each for name, each in types.items() if name == layer]
    same = [each for name, each in types.items() if layer is None or _local(name) == _local(layer)]
    if len(exact or same) == 1:
        return (exact or same)[0]
    which = f"no single layer is called {layer!r}" if layer else f"the service has {len(types):,} layers"
    names = ", ".join(sorted(types)[:20]) or "none"
    raise NotALayer(f"{which}; there are: {names}", where=where, do="name one as `layer` in the jurisdiction file")


def schema(root: Element, layer: str, where: str) -> Schema:
    """Parse the columns of a layer.

    Raises:
        NotALayer: it is a layer of points or lines.
    """
    described = _described(root, _local(layer))
    columns, shapes, lines = {}, [], []
    for each in described:
        kind = _local(_kind(each))
        if _SHAPE.fullmatch(kind):
            shapes.append(each.get("name", ""))
        elif _NO_AREA.fullmatch(kind):
            lines.append(kind.removesuffix("PropertyType"))
        else:
            columns[each.get("name", "")] = _meaning(kind)
    if lines and not shapes:
        raise NotALayer(f"this is a layer of {lines[0]}, not of polygons", where=where, do="choose another `layer`")
    hides = _MAPSERVER in xml_limits.attribute(root, "targetNamespace") or _MAPSERVER_SHAPE in shapes
    return Schema(columns, shapes, hides)


def _described(root: Element, layer: str) -> list[Element]:
    """The elements of a layer's rows: those of the type of the element that has the layer's name."""
    tops = [each for each in xml_limits.children(root, "element") if each.get("name") == layer]
    kinds = {_local(each.get("type", "")) for each in tops}
    types = [each for each in xml_limits.children(root, "complexType") if each.get("name") in kinds]
    types += [inner for each in tops for inner in xml_limits.children(each, "complexType")]
    return [each for one in types for each in xml_limits.descendants(one, "element") if each.get("name")]


def _kind(element: Element) -> str:
    """The type of an element, or the type that its simple type restricts."""
    restricted = (each.get("base", "") for each in xml_limits.descendants(element, "restriction"))
    return element.get("type", "") or next(restricted, "")


def _meaning(kind: str) -> str:
    if _WHOLE.fullmatch(kind):
        return gml.INTEGER
    if kind in ("double", "float", "decimal"):
        return gml.NUMBER
    return gml.BOOLEAN if kind == "boolean" else gml.TEXT


def _local(name: str) -> str:
    """A name without its prefix."""
    return name.rpartition(":")[2]
