"""An ArcGIS feature service on loopback, made for the benchmark: a process of its own that keeps no answer.

    /arcgis/rest/services/County/FeatureServer[/LAYER[/query]]      layer 0 parcels, layer 1 zoning
    GET  /_counts          requests, rows, bytes and tested shapes since the start, by layer
    POST /_edit?rows=N     so many parcels are edited

Bodies are sent as they are, not compressed: that costs the same for each row whoever asks for it.
As a program (`python -m benchmarks.arcgis_server --parcels N --page P --variant V`) it prints its address as one JSON
line when it is ready, and ends when standard input does.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
import shapely
from aiohttp import web

from benchmarks.arcgis_query import REFERENCE, Answer, Layer, QueryError, answer
from benchmarks.arcgis_table import AREA, EDITED, GLOBAL_ID, ID, LENGTH, Table, county, edited
from benchmarks.variants import VARIANTS, Variant

SERVICE = "/arcgis/rest/services/County/FeatureServer"
_LOOPBACK = "127.0.0.1"
_MOST_BODY = 16 * 1024 * 1024
_VERSION = 10.91

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Turns:
    """Spreads requests evenly, as nginx's limit_req does: who comes too early waits."""

    def __init__(self, per_minute: int) -> None:
        self._every_s, self._next = 60 / per_minute if per_minute else 0.0, 0.0

    def wait_s(self, now: float) -> float:
        """The seconds that a request which comes now must wait; it takes that turn."""
        turn = max(now, self._next)
        self._next = turn + self._every_s
        return turn - now


class Server:
    """Serves the layers of one county."""

    def __init__(self, tables: list[Table], variant: Variant, page: int) -> None:
        self.layers = [Layer(table, variant, page, shapely.STRtree(table.shapes)) for table in tables]
        self.variant, self.turns = variant, Turns(variant.requests_per_minute)
        self.counts = {table.name: Counter[str](requests=0, rows=0, bytes=0, tested=0) for table in tables}

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=_MOST_BODY, middlewares=[self._in_turn])
        app.router.add_get("/_counts", self._counts)
        app.router.add_post("/_edit", self._edit)
        app.router.add_route("*", SERVICE, self._service)
        app.router.add_route("*", SERVICE + r"/{layer:[01]}", self._layer)
        app.router.add_route("*", SERVICE + r"/{layer:[01]}/query", self._query)
        return app

    @web.middleware
    async def _in_turn(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What the variant makes a client wait for; the benchmark's own questions do not wait."""
        if request.path.startswith(SERVICE):
            await asyncio.sleep(self.variant.delay_s + self.turns.wait_s(time.monotonic()))
        return await handler(request)

    async def _counts(self, _: web.Request) -> web.Response:
        return web.json_response(self.counts)

    async def _edit(self, request: web.Request) -> web.Response:
        parcels = self.layers[0]
        self.layers[0] = replace(parcels, table=edited(parcels.table, int(request.query["rows"])))
        return web.json_response({})

    async def _service(self, _: web.Request) -> web.Response:
        names = [{"id": at, "name": each.table.name} for at, each in enumerate(self.layers)]
        body = {"currentVersion": _VERSION, "layers": names, "tables": [], "spatialReference": REFERENCE}
        return self._sent(self.layers[0], Answer(orjson.dumps(body)))

    async def _layer(self, request: web.Request) -> web.Response:
        number = int(request.match_info["layer"])
        body = described(number, self.layers[number])
        return self._sent(self.layers[number], Answer(orjson.dumps(body)))

    async def _query(self, request: web.Request) -> web.Response:
        layer = self.layers[int(request.match_info["layer"])]
        params = {name: text for name, text in {**request.query, **await request.post()}.items() if type(text) is str}
        try:
            # By area in a thread, as several may ask at once; the rest is faster than a switch of threads.
            found = await asyncio.to_thread(answer, layer, params) if "geometry" in params else answer(layer, params)
        except QueryError as error:
            found = Answer(orjson.dumps({"error": {"code": 400, "message": str(error), "details": []}}))
        return self._sent(layer, found)

    def _sent(self, layer: Layer, found: Answer) -> web.Response:
        said = {"requests": 1, "rows": found.rows, "bytes": len(found.body), "tested": found.tested}
        self.counts[layer.table.name].update(said)
        return web.Response(body=found.body, content_type="application/json", charset="utf-8")


def described(number: int, layer: Layer) -> dict[str, Any]:
    """What a layer says of itself, in the words of ArcGIS Server 10.9.1."""
    table, can = layer.table, layer.variant
    sides = zip(("xmin", "ymin", "xmax", "ymax"), shapely.total_bounds(table.shapes).tolist(), strict=True)
    return {
        "currentVersion": _VERSION,
        "id": number,
        "name": table.name,
        "type": "Feature Layer",
        "geometryType": "esriGeometryPolygon",
        "hasZ": False,
        "hasM": False,
        "objectIdField": ID,
        "globalIdField": GLOBAL_ID,
        "displayField": ID,
        "geometryProperties": {"shapeAreaFieldName": AREA, "shapeLengthFieldName": LENGTH, "units": "esriFeet"},
        "extent": {**dict(sides), "spatialReference": REFERENCE},
        "fields": [layer.field(str(name)) for name in table.rows.columns],
        "capabilities": "Query",
        "supportedQueryFormats": "JSON",
        "maxRecordCount": layer.page,
        "supportsStatistics": can.statistics,
        "supportsAdvancedQueries": True,
        "advancedQueryCapabilities": _abilities(can),
        **(_tracking(table) if can.tracking else {}),
    }


def _abilities(can: Variant) -> Mapping[str, bool]:
    return {
        "supportsPagination": True,
        "supportsOrderBy": True,
        "supportsDistinct": True,
        "supportsReturningQueryExtent": True,
        "supportsStatistics": can.statistics,
        "supportsHavingClause": False,
    }


def _tracking(table: Table) -> dict[str, Any]:
    return {"editFieldsInfo": {"editDateField": EDITED}, "editingInfo": {"lastEditDate": table.edited_ms}}


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, required=True)
    parser.add_argument("--page", type=int, required=True)
    parser.add_argument("--variant", choices=VARIANTS, required=True)
    asked = parser.parse_args()
    asyncio.run(_serve(Server(county(asked.parcels), VARIANTS[asked.variant], asked.page)))


async def _serve(server: Server) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, _LOOPBACK, 0).start()
        sys.stdout.write(json.dumps({"address": f"http://{_LOOPBACK}:{runner.addresses[0][1]}"}) + "\n")
        sys.stdout.flush()
        await ended.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
