"""An ArcGIS feature service on loopback for the benchmark: a process of its own that caches no response.

    /arcgis/rest/services/County/FeatureServer[/LAYER[/query]]      layer 0 parcels, layer 1 zoning
    GET  /_counts          requests, rows, bytes and tested shapes since the start, by layer
    POST /_edit?rows=N     edit N parcels

Bodies are not compressed: compression would cost the same for each row and each client.
As a program (`python -m benchmarks.arcgis_server --parcels N --page P --variant V`) it prints its address as one JSON
line when it is ready, and ends at the end of standard input.
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

from benchmarks.arcgis_query import REFERENCE, Answer, BenchLayer, QueryError, answer
from benchmarks.arcgis_table import AREA, EDITED, GLOBAL_ID, ID, LENGTH, BenchTable, county, edited
from benchmarks.variants import VARIANTS, ServerVariant

SERVICE = "/arcgis/rest/services/County/FeatureServer"
_LOOPBACK = "127.0.0.1"
_MOST_BODY = 16 * 1024 * 1024
_VERSION = 10.91

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RateLimit:
    """Spreads requests evenly, like limit_req of nginx: a request that comes too early waits."""

    def __init__(self, per_minute: int) -> None:
        self._every_s, self._next = 60 / per_minute if per_minute else 0.0, 0.0

    def wait_s(self, now: float) -> float:
        """Reserve the next slot for a request; return the seconds until then."""
        slot = max(now, self._next)
        self._next = slot + self._every_s
        return slot - now


class Server:
    """Serves the layers of one county."""

    def __init__(self, tables: list[BenchTable], variant: ServerVariant, page: int) -> None:
        self.layers = [BenchLayer(table, variant, page, shapely.STRtree(table.shapes)) for table in tables]
        self.variant, self.rate_limit = variant, RateLimit(variant.requests_per_minute)
        self.counts = {table.name: Counter[str](requests=0, rows=0, bytes=0, tested=0) for table in tables}

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=_MOST_BODY, middlewares=[self._delayed])
        app.router.add_get("/_counts", self._counts)
        app.router.add_post("/_edit", self._edit)
        app.router.add_route("*", SERVICE, self._service)
        app.router.add_route("*", SERVICE + r"/{layer:[01]}", self._layer)
        app.router.add_route("*", SERVICE + r"/{layer:[01]}/query", self._query)
        return app

    @web.middleware
    async def _delayed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Apply the variant's delay and rate limit. Requests of the benchmark itself are not delayed."""
        if request.path.startswith(SERVICE):
            await asyncio.sleep(self.variant.delay_s + self.rate_limit.wait_s(time.monotonic()))
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
        body = describe(number, self.layers[number])
        return self._sent(self.layers[number], Answer(orjson.dumps(body)))

    async def _query(self, request: web.Request) -> web.Response:
        layer = self.layers[int(request.match_info["layer"])]
        params = {name: text for name, text in {**request.query, **await request.post()}.items() if type(text) is str}
        try:
            # Queries by area run in a thread, as several may come at once; the others are faster than a thread switch.
            found = await asyncio.to_thread(answer, layer, params) if "geometry" in params else answer(layer, params)
        except QueryError as error:
            found = Answer(orjson.dumps({"error": {"code": 400, "message": str(error), "details": []}}))
        return self._sent(layer, found)

    def _sent(self, layer: BenchLayer, found: Answer) -> web.Response:
        sums = {"requests": 1, "rows": found.rows, "bytes": len(found.body), "tested": found.tested}
        self.counts[layer.table.name].update(sums)
        return web.Response(body=found.body, content_type="application/json", charset="utf-8")


def describe(number: int, layer: BenchLayer) -> dict[str, Any]:
    """The metadata of a layer, in the format of ArcGIS Server 10.9.1."""
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


def _abilities(can: ServerVariant) -> Mapping[str, bool]:
    return {
        "supportsPagination": True,
        "supportsOrderBy": True,
        "supportsDistinct": True,
        "supportsReturningQueryExtent": True,
        "supportsStatistics": can.statistics,
        "supportsHavingClause": False,
    }


def _tracking(table: BenchTable) -> dict[str, Any]:
    return {"editFieldsInfo": {"editDateField": EDITED}, "editingInfo": {"lastEditDate": table.edited_ms}}


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, required=True)
    parser.add_argument("--page", type=int, required=True)
    parser.add_argument("--variant", choices=VARIANTS, required=True)
    options = parser.parse_args()
    asyncio.run(_serve(Server(county(options.parcels), VARIANTS[options.variant], options.page)))


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
