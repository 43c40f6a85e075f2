"""An OGC API Features server that does what it is told to do wrong."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import shapely
from aiohttp import web

from tests.sources.ogc_api_features.ogc_request import Lot

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


@dataclass
class FakeOgc:
    """One collection, `lots`.

    Attributes:
        most: rows a page holds at most; `refuses_more`: more are refused instead of held back.
        counts: what it says of its count: None nothing, "true" the truth, or a number.
        next_: what is wrong with its `next` links.
        crs, header, axes: the CRS it lists; what it says of an answer's; whether it swaps the numbers.
    """

    lots: list[Lot]
    most: int = 10_000
    refuses_more: bool = False
    counts: Any = "true"
    next_: str = ""
    speaks: tuple[str | None, ...] = ("json", None)
    crs: list[str] = field(default_factory=lambda: [CRS84])
    header: str | None = CRS84
    swaps: bool = False
    ids: bool = True
    etag: str = ""
    hour: bool = True
    other_json: bool = False  # by f=json its rows come in another form than GeoJSON
    item_type: str = "feature"
    title: str = "Items"
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def __call__(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append((request.path, query))
        if query.get("f") not in self.speaks:
            return web.Response(status=400, text="{}")
        self.query, self.root = query, f"http://{request.host}"
        if request.path == "/api/collections/lots":
            return self._collection()
        if request.path == "/api/collections/lots/queryables":
            return _json({"properties": {"pin": {}, "number": {}}})
        return self._items() if request.path == "/api/collections/lots/items" else web.Response(status=404, text="{}")

    def _collection(self) -> web.Response:
        return _json(
            {"id": "lots", "itemType": self.item_type, "crs": self.crs, "storageCrs": self.crs[-1], "links": []}
        )

    def _items(self) -> web.Response:
        limit, start = int(self.query.get("limit", "10")), int(self.query.get("offset", "0"))
        if limit > self.most and self.refuses_more:
            return web.Response(status=422, text="{}")
        limit = min(limit, self.most)
        lots = self.lots[start : start + limit] if self.next_ != "ignores offset" else self.lots[:limit]
        counted = len(self.lots) if self.counts == "true" else self.counts
        document = {
            "type": "FeatureCollection",
            "features": [self._feature(lot) for lot in lots],
            "numberReturned": len(lots),
            **({"timeStamp": f"2026-01-01T00:00:{len(self.asked):02d}Z"} if self.hour else {}),
            **({} if counted is None else {"numberMatched": counted}),
            "links": self._links(start, limit, len(lots)),
        }
        if self.other_json and self.query.get("f") == "json":
            return _json([{"itemId": number, "pin": key} for number, key, _ in lots])
        headers = {"Content-Crs": f"<{self.header}>"} if self.header else {}
        return _json(document, headers | ({"ETag": self.etag} if self.etag else {}))

    def _links(self, start: int, limit: int, given: int) -> list[dict[str, Any]]:
        links: list[dict[str, Any]] = [{"rel": "self", "href": "x", "title": self.title}, {"rel": "next"}]
        last = start + given >= len(self.lots)
        if last and self.next_ not in ("on the last page", "circle", "ignores offset"):
            return links
        if start >= len(self.lots) + 5 * limit:
            return links
        onward = 0 if self.next_ == "circle" and last else start + limit
        words = {"offset": str(onward), "limit": str(limit)}
        if self.next_ != "drops f" and "f" in self.query:
            words["f"] = self.query["f"]
        root = {"elsewhere": "http://169.254.169.254", "relative": ""}.get(self.next_, self.root)
        href = f"{root}/api/collections/lots/items?{urlencode(words)}"
        return [*links[:1], {"rel": "next", "href": href, "title": self.title}]

    def _feature(self, lot: Lot) -> dict[str, Any]:
        number, key, shape = lot
        turned = shapely.transform(shape, lambda points: points[:, ::-1]) if shape and self.swaps else shape
        own = {"id": number} if self.ids else {}
        geometry = json.loads(shapely.to_geojson(turned)) if turned else None
        return {"type": "Feature", **own, "properties": {"pin": key, "number": number}, "geometry": geometry}


def _json(document: Any, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=json.dumps(document).encode(), headers=headers, content_type="application/json")
