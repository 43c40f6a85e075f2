"""For tests of ../shared/cases: a portal that serves files, and layers in ArcGIS's words, from what a case holds."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyproj
import shapely
from aiohttp import web

from tests.conftest import read_toml, rows, sync
from tests.sources.portals import served_aside
from tests.support.shared_data import case
from zoning_assets.model import Outcome
from zoning_assets.pipeline.pipeline import Pipeline

BOUNDS = (-71.12, 42.37, -71.08, 42.40)
_ADDRESS = "http://127.0.0.1:18900"
_TOML = """
id = "us-xx-mine"
name = "A case of our own"
bounds = {bounds}
[feeds.parcels]
type = "{type}"
url = "{url}"
key = "{key}"
{more}
  [feeds.parcels.fields]
  address = "ADDR"
  zoning_code = "ZONE_CODE"
[portal]
requests_per_minute = 600000
connections = 4
"""


def cell(number: int) -> shapely.Polygon:
    """The shape of a lot, degrees."""
    x, y = -71.1 + number % 5 * 6e-4, 42.38 + number // 5 * 5e-4
    return shapely.box(x, y, x + 6e-4, y + 5e-4)


def lot(number: int) -> dict[str, str]:
    """The columns of a lot."""
    return {"PIN": f"12-{number + 1:03d}", "ADDR": f"{number + 11} Elm St", "ZONE_CODE": f"R-{number % 3 + 1}"}


def feature(number: int) -> dict[str, Any]:
    """A lot as a GeoJSON feature."""
    return {"type": "Feature", "properties": lot(number), "geometry": shapely.geometry.mapping(cell(number))}


@dataclass
class Files:
    """Gives files by their names; anything else is not found."""

    files: Mapping[str, bytes]

    async def __call__(self, request: web.Request) -> web.Response:
        body = self.files.get(request.path.rpartition("/")[2])
        return web.Response(status=404) if body is None else web.Response(body=body)


@dataclass
class ArcgisLayer:
    """One layer, from its description and the answer to a query for all rows; keeps what it was asked."""

    layer: Mapping[str, Any]
    page: Mapping[str, Any]
    id: str = "OBJECTID"
    listed_as: str | None = "OBJECTID"  # the name that goes with the list of ids
    without: frozenset[str] = frozenset()  # ids that it lists and does not give
    asked: list[dict[str, str]] = field(default_factory=list)

    async def __call__(self, request: web.Request) -> web.Response:
        form = dict(await request.post()) if request.method == "POST" else {}
        asked = {**request.query, **{name: str(value) for name, value in form.items()}}
        if not request.path.endswith("/query"):
            return _json(self.layer)
        self.asked.append(asked)
        return _json(self._answer(asked))

    def _answer(self, asked: Mapping[str, str]) -> Mapping[str, Any]:
        chosen = [each for each in self.page["features"] if self._meant(each, asked)]
        ids = [each["attributes"][self.id] for each in chosen]
        if asked.get("returnCountOnly") == "true":
            return {"count": len(chosen)}
        if asked.get("returnIdsOnly") == "true":
            return {**({"objectIdFieldName": self.listed_as} if self.listed_as else {}), "objectIds": ids}
        if "outStatistics" in asked or asked.get("returnExtentOnly") == "true":
            return {"error": {"code": 400, "message": "not supported"}}
        start = int(asked.get("resultOffset", 0))
        size = int(asked.get("resultRecordCount", self.layer.get("maxRecordCount", 1000)))
        given = [each for each, number in zip(chosen, ids, strict=True) if str(number) not in self.without]
        return {**self.page, "features": given[start : start + size]}

    def _meant(self, row: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
        number = row["attributes"][self.id]
        between = re.search(r">= (-?\d+) AND \S+ <= (-?\d+)", asked.get("where", ""))
        if between and not int(between[1]) <= number <= int(between[2]):
            return False
        if "objectIds" in asked and str(number) not in asked["objectIds"].split(","):
            return False
        return "geometry" not in asked or self._shape(row).intersects(_area(asked["geometry"]))

    def _shape(self, row: Mapping[str, Any]) -> shapely.Geometry:
        known = self.page.get("spatialReference") or {}
        number = known.get("latestWkid") or known.get("wkid") or 4326
        to_degrees = pyproj.Transformer.from_crs(number, 4326, always_xy=True)
        rings = (row.get("geometry") or {}).get("rings") or []
        shape = shapely.Polygon(rings[0]) if rings else shapely.Polygon()
        return shapely.transform(shape, to_degrees.transform, interleaved=False)


def _area(text: str) -> shapely.Geometry:
    asked = json.loads(text)
    if "rings" in asked:
        return shapely.union_all([shapely.Polygon(ring) for ring in asked["rings"]])
    return shapely.box(*(asked[side] for side in ("xmin", "ymin", "xmax", "ymax")))


def _json(document: Mapping[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(document), content_type="application/json")


def taken(folder: str, pipeline: Pipeline, name: str) -> list[Outcome]:
    """A case of ../shared/cases, through the pipeline with its own jurisdiction file."""
    text = case(f"{folder}/us-xx-{name}.toml").read_text()
    layer = case(folder) / f"{name}-layer.json"
    if layer.exists():
        page = json.loads(layer.with_name(f"{name}-query.json").read_text())
        portal: Any = ArcgisLayer(json.loads(layer.read_text()), page, listed_as=page.get("objectIdFieldName"))
    else:
        portal = Files({each.name: each.read_bytes() for each in case(folder).iterdir()})
    return _through(pipeline, portal, text.replace(_ADDRESS, "{address}"), f"us-xx-{name}")


def toml(url: str, *, kind: str = "download", key: str = "PIN", more: str = "") -> str:
    """A jurisdiction file of our own, `us-xx-mine`."""
    return _TOML.format(bounds=list(BOUNDS), type=kind, url=url, key=key, more=more)


def served(pipeline: Pipeline, name: str, body: bytes, *, key: str = "PIN", more: str = "") -> list[Outcome]:
    """A file of our own, downloaded and taken through the pipeline."""
    return _through(pipeline, Files({name: body}), toml(f"{{address}}/{name}", key=key, more=more), "us-xx-mine")


def asked(pipeline: Pipeline, portal: ArcgisLayer, *, key: str = "PIN", more: str = "") -> list[Outcome]:
    """A layer of our own, harvested and taken through the pipeline."""
    url = "{address}/arcgis/rest/services/T/MapServer/0"
    return _through(pipeline, portal, toml(url, kind="arcgis", key=key, more=more), "us-xx-mine")


def _through(pipeline: Pipeline, portal: Any, text: str, name: str) -> list[Outcome]:
    with served_aside(portal) as address:
        return sync(pipeline, read_toml(pipeline.scratch / "toml", text.replace("{address}", address), name))


def keys(pipeline: Pipeline, outcomes: list[Outcome]) -> list[str]:
    """The keys in PostGIS, once every tile was published without an error."""
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == []
    return [key for (key,) in rows(pipeline.database, "SELECT parcel_id FROM zoning.parcel ORDER BY 1")]


def proof(pipeline: Pipeline, outcomes: list[Outcome]) -> Mapping[str, Any]:
    """The proof of the harvest of a jurisdiction's first tile."""
    assert outcomes[0].harvest is not None
    return outcomes[0].harvest.proof


def expected(number: int = 20) -> list[str]:
    """The keys of so many lots."""
    return [lot(each)["PIN"] for each in range(number)]
