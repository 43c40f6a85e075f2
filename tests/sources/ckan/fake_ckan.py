"""A CKAN on loopback, after the recorded answers of CKAN 2.12 and docs.ckan.org; and its ways of going wrong."""

import random
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

TABLE, FILE = "aa97ee3c-91b2-44a1-9924-6850b6a290cb", "0ca101aa-afc0-4fc2-9ed8-8322dee9ffc2"


def resource(id_: str, **says: Any) -> dict[str, Any]:
    whole = {
        "id": id_,
        "name": "parcels",
        "format": "",
        "hash": "",
        "url_type": "datastore",
        "last_modified": "2026-11-23T23:10:43.831165",
        "metadata_modified": "2026-11-23T23:10:43.940022",
        "datastore_active": True,
        "url": f"http://127.0.0.1/datastore/dump/{id_}",
    }
    return {**whole, **says}


@dataclass
class FakeCkan:
    """Answers for one package; `rows` are those of its table, without `_id`."""

    rows: list[dict[str, Any]]
    resources: list[dict[str, Any]] = field(default_factory=lambda: [resource(TABLE)])
    files: dict[str, bytes] = field(default_factory=dict)  # path -> body
    cap: int = 32_000
    total: Any = None  # what it says instead of its total
    estimates: bool = False
    sorts: bool = True
    moves: bool = True  # offsets do something
    edit: Any = None  # called once, after the second page

    def __post_init__(self) -> None:
        self.numbered = [{"_id": i, **row} for i, row in enumerate(self.rows, 1)]
        self.modified, self.pages = "2026-11-23T23:10:43.941311", 0

    async def __call__(self, request: web.Request) -> web.Response:
        action = request.path.rpartition("/")[2]
        if action == "package_show" and request.query["id"] == "cambridge":
            return _result({"name": "cambridge", "metadata_modified": self.modified, "resources": self.resources})
        known = {each["id"]: each for each in self.resources}
        if action == "resource_show" and request.query["id"] in known:
            return _result(known[request.query["id"]])
        if action == "datastore_search" and known.get(request.query["resource_id"], {}).get("datastore_active"):
            return _result(self._search(request.query))
        if request.path in self.files:
            return self._file(request)
        error = {"__type": "Not Found Error", "message": "Not found"}
        return web.json_response({"success": False, "error": error}, status=404)

    def _file(self, request: web.Request) -> web.Response:
        body = self.files[request.path]
        tag = f'"{hash(body)}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304)
        return web.Response(body=body, headers={"ETag": tag})

    def _search(self, query: Any) -> dict[str, Any]:
        unknown = set(query) - {"resource_id", "limit", "offset", "sort", "fields"}
        assert not unknown, f"older versions refuse {unknown}"
        limit, offset = min(int(query["limit"]), self.cap), int(query.get("offset", 0)) if self.moves else 0
        rows = sorted(self.numbered, key=lambda row: row["_id"], reverse=query.get("sort") == "_id desc")
        if not query.get("sort") or not self.sorts:
            rows = random.Random(offset).sample(rows, len(rows))  # each page of another order: repeats and gaps
        names = query["fields"].split(",") if "fields" in query else None
        page = [{name: row[name] for name in names or row} for row in rows[offset : offset + limit]]
        if "offset" in query:
            self.pages += 1
            if self.edit and self.pages == 2:
                self.edit(self)
        fields = [{"id": name, "type": "text"} for name in names or (self.numbered or [{"_id": 0}])[0]]
        total = len(self.numbered) if self.total is None else self.total
        said = {"records": page, "fields": fields, "limit": limit, "total": total}
        return {**said, "total_was_estimated": True} if self.estimates else said


def _result(result: Any) -> web.Response:
    return web.Response(body=orjson.dumps({"success": True, "result": result}), content_type="application/json")
