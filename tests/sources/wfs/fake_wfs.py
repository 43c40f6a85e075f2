"""A WFS that does what it is told to do wrong."""

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import shapely
from aiohttp import web

from tests.sources.ogc_api_features.ogc_request import Lot

NAMESPACES = (
    'xmlns:wfs="http://www.opengis.net/wfs/2.0" xmlns:gml="http://www.opengis.net/gml/3.2" '
    'xmlns:ows="http://www.opengis.net/ows/1.1" xmlns:t="urn:t" xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
)


@dataclass
class FakeWfs:
    """One layer, `t:lots`.

    Attributes:
        versions: what it speaks.
        formats: its output formats besides GML.
        most: rows that an answer holds at most.
        hits: what it says of its count: "true", "unknown", a number, or "page": no more than an answer holds.
        sorts: whether it can sort; pages: whether it heeds startIndex: True, False, or "sorted" (only when sorting).
        crs, swaps: the name of its CRS, and whether latitude comes first. `member`: GeoJSON's own `crs`.
        ids: "own", "new" (made up for each answer), or None.
        fault: a body that is the answer to each GetFeature but `hits`.
    """

    lots: list[Lot]
    versions: tuple[str, ...] = ("2.0.0", "1.1.0")
    formats: tuple[str, ...] = ("application/json",)
    most: int = 10_000
    hits: Any = "true"
    sorts: bool = True
    pages: Any = True
    crs: str = "urn:ogc:def:crs:EPSG::4326"
    swaps: bool = True
    member: str | None = None
    ids: str | None = "own"
    fault: str | None = None
    refuses_behind: bool = False
    namespace: str = "urn:t"
    shape: str = "gml:MultiSurfacePropertyType"
    sequence: str = "7"
    asked: list[dict[str, str]] = field(default_factory=list)
    fresh: Any = field(default_factory=itertools.count)

    async def __call__(self, request: web.Request) -> web.Response:
        query = {name.lower(): value for name, value in request.query.items()}
        self.asked.append(query)
        version = query.get("version", "")
        self.version = version if version in self.versions else self.versions[0]
        if query.get("service") != "WFS":
            return web.Response(status=404, text="no")
        if query["request"] == "GetCapabilities":
            return _xml(self._capabilities())
        if query["request"] == "DescribeFeatureType":
            return _xml(self._schema())
        return self._features(query)

    def _capabilities(self) -> str:
        formats = "".join(f"<ows:Value>{each}</ows:Value>" for each in ("text/xml; subtype=gml/3.2", *self.formats))
        crs = "DefaultCRS" if self.version == "2.0.0" else "DefaultSRS"
        return (
            f'<wfs:WFS_Capabilities {NAMESPACES} version="{self.version}" updateSequence="{self.sequence}">'
            '<ows:OperationsMetadata><ows:Operation name="GetFeature"><ows:Parameter name="outputFormat">'
            f"{formats}</ows:Parameter></ows:Operation>"
            '<ows:Constraint name="CountDefault"><ows:NoValues/><ows:DefaultValue>100</ows:DefaultValue>'
            "</ows:Constraint></ows:OperationsMetadata><wfs:FeatureTypeList><wfs:FeatureType><wfs:Name>t:lots</wfs:Name>"
            f"<wfs:{crs}>{self.crs}</wfs:{crs}></wfs:FeatureType><wfs:FeatureType><wfs:Name>t:other</wfs:Name>"
            "</wfs:FeatureType></wfs:FeatureTypeList></wfs:WFS_Capabilities>"
        )

    def _schema(self) -> str:
        return (
            f'<xsd:schema {NAMESPACES} targetNamespace="{self.namespace}"><xsd:element name="lots" type="t:lotsType"/>'
            '<xsd:complexType name="lotsType"><xsd:complexContent><xsd:extension base="gml:AbstractFeatureType">'
            f'<xsd:sequence><xsd:element name="geom" type="{self.shape}"/>'
            '<xsd:element name="pin"><xsd:simpleType><xsd:restriction base="xsd:string"/></xsd:simpleType>'
            "</xsd:element>"
            '<xsd:element name="fid" type="xsd:int"/></xsd:sequence></xsd:extension></xsd:complexContent>'
            "</xsd:complexType></xsd:schema>"
        )

    def _features(self, query: dict[str, str]) -> web.Response:
        start = int(query.get("startindex", "0"))
        if query.get("resulttype") == "hits":
            return _xml(self._collection([], self._counted(), 0, hits=True))
        if self.fault is not None:
            return web.Response(text=self.fault, content_type="text/xml")
        if said := self._refused(query, start):
            return said
        limit = query.get("count" if self.version == "2.0.0" else "maxfeatures")
        start = start if self.pages else 0
        lots = self.lots[start : start + min(int(limit or self.most), self.most)]
        if "json" in query.get("outputformat", ""):
            return self._json(lots, self._counted())
        return _xml(self._collection(lots, self._counted(), len(lots)))

    def _refused(self, query: dict[str, str], start: int) -> web.Response | None:
        if "sortby" in query and not self.sorts:
            return _xml(refusal("OperationProcessingFailed", "Layer lots does not support sorting"), 403)
        if start and self.pages == "sorted" and "sortby" not in query:
            return _xml(refusal("NoApplicableCode", "Cannot do natural order without a primary key"), 400)
        if start >= len(self.lots) and self.refuses_behind:
            return _xml(refusal("InvalidParameterValue", "startIndex"), 400)
        return None

    def _counted(self) -> Any:
        return {"true": len(self.lots), "page": min(self.most, len(self.lots))}.get(self.hits, self.hits)

    def _collection(self, lots: list[Lot], counted: Any, given: int, *, hits: bool = False) -> str:
        said = f'numberMatched="{counted}" numberReturned="{given}"'
        if self.version != "2.0.0":
            said = f'numberOfFeatures="{counted if hits else given}"'
        rows = "".join(map(self._gml, lots))
        return f"<wfs:FeatureCollection {NAMESPACES} {said}>{rows}</wfs:FeatureCollection>"

    def _gml(self, lot: Lot) -> str:
        number, key, shape = lot
        own = f' gml:id="{self._id(number)}"' if self.ids else ""
        return (
            f"<wfs:member><t:lots{own}><gml:boundedBy><gml:Null/></gml:boundedBy>{self._surface(shape)}"
            f"<t:pin>{key}</t:pin><t:fid>{number}</t:fid></t:lots></wfs:member>"
        )

    def _surface(self, shape: shapely.Polygon | None) -> str:
        if shape is None:
            return ""
        numbers = " ".join(repr(float(each)) for point in self._points(shape) for each in point)
        ring = f"<gml:LinearRing><gml:posList>{numbers}</gml:posList></gml:LinearRing>"
        return (
            f'<t:geom><gml:MultiSurface srsName="{self.crs}"><gml:surfaceMember><gml:Polygon><gml:exterior>{ring}'
            "</gml:exterior></gml:Polygon></gml:surfaceMember></gml:MultiSurface></t:geom>"
        )

    def _points(self, shape: shapely.Polygon) -> Any:
        points = shapely.get_coordinates(shape)
        return points[:, ::-1] if self.swaps else points

    def _json(self, lots: list[Lot], counted: Any) -> web.Response:
        features = [
            {
                "type": "Feature",
                **({"id": self._id(number)} if self.ids else {}),
                "properties": {"pin": key, "fid": number},
                "geometry": json.loads(shapely.to_geojson(shape)) if shape else None,
            }
            for number, key, shape in lots
        ]
        named = {"crs": {"type": "name", "properties": {"name": self.member}}} if self.member else {}
        document = {"type": "FeatureCollection", "features": features, "numberMatched": counted, **named}
        return web.Response(body=json.dumps(document).encode(), content_type="application/json")

    def _id(self, number: int) -> str:
        return f"lots.{number}" if self.ids == "own" else f"fid--{next(self.fresh):x}"


def refusal(code: str, text: str) -> str:
    """An exception report."""
    inner = f'<ows:Exception exceptionCode="{code}"><ows:ExceptionText>{text}</ows:ExceptionText></ows:Exception>'
    return f"<ows:ExceptionReport {NAMESPACES}>{inner}</ows:ExceptionReport>"


def _xml(text: str, status: int = 200) -> web.Response:
    return web.Response(status=status, body=f'<?xml version="1.0"?>{text}'.encode(), content_type="text/xml")
