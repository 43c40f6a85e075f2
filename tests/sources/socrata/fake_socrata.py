"""A Socrata portal on loopback, after dev.socrata.com/docs and the recorded answers; and its ways of going wrong."""

import random
from dataclasses import dataclass, field
from typing import Any

import shapely
from aiohttp import web

ID = "abcd-1234"
VIEW = {
    "id": ID,
    "name": "Parcels",
    "viewType": "tabular",
    "rowsUpdatedAt": 1_700_000_000,
    "viewLastModified": 1_700_000_100,
    "columns": [
        {"id": 1, "fieldName": "the_geom", "dataTypeName": "multipolygon"},
        {"id": 2, "fieldName": "pin", "dataTypeName": "text"},
        {"id": 3, "fieldName": "units", "dataTypeName": "number"},
        {"id": 4, "fieldName": ":@computed_region_x1y2_z3w4", "dataTypeName": "number"},
    ],
}


def row(number: int, pin: str | None, shape: shapely.Geometry | None) -> dict[str, Any]:
    """As SODA gives it: numbers are texts, and a column that says nothing is left out."""
    geometry = shapely.geometry.mapping(shapely.multipolygons([shape])) if shape else None
    said = {"the_geom": geometry, "pin": pin, "units": str(number % 7), ":@computed_region_x1y2_z3w4": "12"}
    return {":id": f"row-{number:04x}~{number * 7919 % 65536:04x}", **{k: v for k, v in said.items() if v is not None}}


@dataclass
class FakeSocrata:
    """Answers for one dataset."""

    rows: list[dict[str, Any]]
    view: dict[str, Any] = field(default_factory=lambda: dict(VIEW))
    others: dict[str, Any] = field(default_factory=dict)  # id -> metadata of other views
    cap: int = 50_000
    most: int = 50_000  # a larger page is too much for it
    preparing: int = 0  # so many 202 before each page
    count: Any = None  # what it says instead of its count
    gives_ids: bool = True
    orders: bool = True
    moves: bool = True  # offsets do something
    broken_from: int | None = None  # pages from here on fail
    edit: Any = None  # called once, after the second page

    def __post_init__(self) -> None:
        self.pages, self._polls = 0, 0

    async def __call__(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2].partition(".")[0]
        if request.path.startswith("/api/views/"):
            known = {self.view["id"]: self.view, **self.others}
            return web.json_response(known[name]) if name in known else _error(404, "not_found", "Cannot find view")
        if name != self.view["id"]:
            return _error(404, "dataset.missing", "Not found")
        if request.query.get("$select") == "count(*)":
            said = str(len(self.rows)) if self.count is None else self.count
            return web.json_response([{"count": said}])
        return self._page(request.query)

    def _page(self, query: Any) -> web.Response:
        offset, limit = int(query.get("$offset", 0)), int(query.get("$limit", 1000))
        self._polls += 1
        if self._polls <= self.preparing:
            return web.json_response({"code": "processing", "message": "Request Processing"}, status=202)
        self._polls = 0
        if limit > self.most or (self.broken_from is not None and offset >= self.broken_from):
            return _error(503, "timeout", "Request timed out")
        chosen = query.get("$select", "*").split(",")
        if ":id" in chosen and not self.gives_ids:
            return _error(400, "query.soql.no-such-column", "No such column: :id")
        rows = sorted(self.rows, key=lambda each: each[":id"])
        if query.get("$order") != ":id" or not self.orders:
            rows = random.Random(offset).sample(rows, len(rows))  # each page of another order: repeats and gaps
        offset = offset if self.moves else 0
        page = rows[offset : offset + min(limit, self.cap)]
        self.pages += 1
        if self.edit and self.pages == 2:
            self.edit(self)
        return web.json_response(page if ":id" in chosen else [_without_id(each) for each in page])


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != ":id"}


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "error": True, "message": message}, status=status)
