"""A portal on loopback that supports the ArcGIS REST query API, and serves its layers as files.

    /arcgis/rest/services/County/{FeatureServer|MapServer}[/LAYER[/query]]
    /files/LAYER.{geojson|zip}
    POST /_release?release=N
    POST /_chaos?faults=storm_429,reset&seed=N         see simulation.chaos; empty: correct responses again

As a process: `python -m zoning_assets.simulation.portal.portal --parcels N --port P --release R` prints one JSON line
with its address when it is ready, and ends on SIGTERM.
"""

import argparse
import asyncio
import hashlib
import inspect
import json
import signal
import sys
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from zoning_assets.simulation.chaos import Chaos, Reply, ServiceRequest
from zoning_assets.simulation.chaos.chaos import send
from zoning_assets.simulation.county.county import County
from zoning_assets.simulation.portal import layer_description, layer_query, served_files
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.simulation.portal.refusal import RefusalError
from zoning_assets.simulation.portal.served_layer import ServedLayer

__all__ = ["CountyReleases", "SimulatedPortal", "county_portal", "serving", "switch_release"]

SERVICE = "County"
LOOPBACK = "127.0.0.1"
MOST_RELEASES = 20
_MOST_BODY = 64 * 1024 * 1024
_SMALL = 1400  # bytes of one packet: compression does not help
_INLINE = 32 * 1024  # bytes; smaller bodies are compressed in the event loop, others in a thread
_MAX_COMPRESSED = 400  # cached compressed bodies, as in a cache before a portal; about 100 MB

#: Called with each request; returns a response, or None if the portal shall respond. May be async.
Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None] | web.StreamResponse | None]
Releases = Callable[[int], Sequence[ServedLayer]]


class SimulatedPortal:
    """Serves layers; layer 0 is the first.

    Args:
        layers: the layers.
        releases: makes the layers of another release, for /_release.
        fault: see Fault. To change a correct response, it may call `answered`.
        chaos: the faults between the services and the client; may be set at any time.
    """

    def __init__(
        self,
        layers: Sequence[ServedLayer],
        *,
        releases: Releases | None = None,
        fault: Fault | None = None,
        chaos: Chaos | None = None,
    ) -> None:
        self.layers, self.releases, self.fault, self.chaos = list(layers), releases, fault, chaos
        self.requests: Counter[str] = Counter()  # by path
        self._files: dict[tuple[int, str], asyncio.Task[served_files.File]] = {}
        self._gzipped: dict[bytes, bytes] = {}

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on loopback; yield the address ("http://127.0.0.1:8123"). Port 0 uses a free one."""
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
            yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    def app(self) -> web.Application:
        """The routes, for a server that the caller runs."""
        app = web.Application(client_max_size=_MOST_BODY)
        app.router.add_post("/_release", self._release)
        app.router.add_post("/_chaos", self._set_faults)
        app.router.add_route("*", "/{path:.*}", self._any)
        return app

    async def _any(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path] += 1
        if self.fault is not None:
            faulty = self.fault(request)
            faulty = await faulty if inspect.isawaitable(faulty) else faulty
            if faulty is not None:
                return faulty
        return await self.answered(request)

    async def answered(self, request: web.Request) -> web.StreamResponse:
        """The correct response."""
        match request.path.strip("/").split("/"):
            case ["files", name]:
                return await self._file(request, name)
            case ["arcgis", "rest", "services", *rest]:
                return await self._service(request, rest)
        raise web.HTTPNotFound

    async def _service(self, request: web.Request, path: list[str]) -> web.StreamResponse:
        params = {**request.query, **{k: v for k, v in (await request.post()).items() if isinstance(v, str)}}
        if self.chaos is not None:
            url_length = len(str(request.url)) if request.method == "GET" else 0
            return await send(
                request, self.chaos.answer(ServiceRequest("/".join(path), params, url_length), self._truth)
            )
        body = self._body(path, params, self.layers)
        binary = params.get("f") == "pbf" and not body.startswith(b"{")  # an error is JSON in all formats
        return await self._compressed(request, body, "application/x-protobuf" if binary else "application/json")

    async def _compressed(self, request: web.Request, body: bytes, content_type: str) -> web.Response:
        answer = web.Response(content_type=content_type, charset="utf-8" if content_type.endswith("json") else None)
        if len(body) > _SMALL and "gzip" in request.headers.get("Accept-Encoding", ""):
            body = _gzip(body) if len(body) < _INLINE else await asyncio.to_thread(self._compress, body)
            answer.headers["Content-Encoding"] = "gzip"
        answer.body = body
        return answer

    def _compress(self, body: bytes) -> bytes:
        name = hashlib.sha256(body).digest()
        gzipped = self._gzipped.get(name) or _gzip(body)
        while len(self._gzipped) >= _MAX_COMPRESSED and name not in self._gzipped:
            self._gzipped.pop(next(iter(tuple(self._gzipped))), None)  # a copy, as other threads change it
        return self._gzipped.setdefault(name, gzipped)

    def _truth(self, request: ServiceRequest) -> Reply:
        return Reply(
            self._body(request.path.split("/"), request.params, [request.edit(self.layers[0]), *self.layers[1:]])
        )

    def _body(self, path: list[str], params: Mapping[str, str], layers: Sequence[ServedLayer]) -> bytes:
        try:
            return _operation(path, params, layers)
        except RefusalError as refusal:
            return refusal.body()

    async def _file(self, request: web.Request, name: str) -> web.Response:
        stem, _, ending = name.rpartition(".")
        layer = next((each for each in self.layers if each.name.lower() == stem.lower()), None)
        if layer is None or ending not in served_files.ENDINGS:
            raise web.HTTPNotFound
        task = self._files.get((id(layer), ending))
        if task is None:
            task = self._files[id(layer), ending] = asyncio.create_task(
                asyncio.to_thread(served_files.make_file, layer, ending)
            )
        file = await asyncio.shield(task)
        answer = web.Response(status=304 if _has(request, file) else 200)
        if answer.status == 200:
            answer.body, answer.content_type = file.body, file.content_type
        answer.etag, answer.last_modified = file.etag, file.modified
        return answer

    async def _release(self, request: web.Request) -> web.Response:
        """Serve another release from now on. The pages of one query may then be of two releases, as on a real
        portal."""
        number = request.query.get("release", "")
        if self.releases is None or not (number.isascii() and number.isdigit() and 1 <= int(number) <= MOST_RELEASES):
            return web.json_response({"error": f"no release {number[:20]!r}"}, status=400)
        self.layers = list(await asyncio.to_thread(self.releases, int(number)))
        self._files.clear()
        return web.json_response({"release": int(number)})

    async def _set_faults(self, request: web.Request) -> web.Response:
        """Set the faults from now on."""
        names, seed = request.query.get("faults", ""), request.query.get("seed", "0")
        try:
            self.chaos = Chaos(names.split(","), int(seed)) if names else None
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"faults": names, "seed": seed})


def _operation(path: list[str], params: Mapping[str, str], layers: Sequence[ServedLayer]) -> bytes:
    match path:
        case [] | [""]:
            kinds = [{"name": SERVICE, "type": kind} for kind in (layer_description.FEATURE, layer_description.MAP)]
            return orjson.dumps({"currentVersion": layer_description.VERSION, "folders": [], "services": kinds})
        case [service, layer_description.FEATURE | layer_description.MAP as kind, *rest] if service == SERVICE:
            return _in_service(kind, rest, params, layers)
    raise RefusalError("Service not found", code=404)


def _in_service(kind: str, path: list[str], params: Mapping[str, str], layers: Sequence[ServedLayer]) -> bytes:
    match path:
        case []:
            return orjson.dumps(layer_description.service(layers, kind))
        case [number]:
            return orjson.dumps(layer_description.layer(int(number), _layer(number, layers), kind))
        case [number, "query"]:
            return layer_query.answer(_layer(number, layers), params)
    raise RefusalError("Invalid URL", code=400)


def _layer(number: str, layers: Sequence[ServedLayer]) -> ServedLayer:
    if not (number.isascii() and number.isdigit() and len(number) < 4 and int(number) < len(layers)):
        raise RefusalError("Invalid URL", f"no layer {number[:20]!r}", code=400)
    return layers[int(number)]


def _has(request: web.Request, file: served_files.File) -> bool:
    """Whether the client has this file; If-None-Match takes precedence over If-Modified-Since (RFC 9110)."""
    if request.if_none_match is not None:
        return any(each.value in (file.etag, "*") for each in request.if_none_match)
    return request.if_modified_since is not None and file.modified <= request.if_modified_since


def _gzip(body: bytes) -> bytes:
    return zlib.compress(body, level=1, wbits=31)


class CountyReleases:
    """The releases of a simulated county; each is built once."""

    def __init__(self, parcels: int = 3000, seed: int = 7, page_rows: int = 2000) -> None:
        self.counties, self.page_rows = [County.build(parcels, seed)], page_rows

    def county(self, release: int) -> County:
        """A release, counted from 1."""
        while len(self.counties) < min(release, MOST_RELEASES):
            self.counties.append(self.counties[-1].after_changes())
        return self.counties[release - 1]

    def __call__(self, release: int) -> list[ServedLayer]:
        """The layers of a release."""
        county = self.county(release)
        tables = {"Parcels": county.parcels, "Zoning": county.zoning}
        return [ServedLayer.of(name, table, county.edited_ms, self.page_rows) for name, table in tables.items()]


def county_portal(releases: CountyReleases, *, release: int = 1, fault: Fault | None = None) -> SimulatedPortal:
    """A portal of the simulated county: layer 0 is its parcels, layer 1 its zoning."""
    return SimulatedPortal(releases(release), releases=releases, fault=fault)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, or (--with-parent) until the end of standard input."""
    parser = argparse.ArgumentParser(prog="python -m zoning_assets.simulation.portal.portal", description=__doc__)
    numbers = {"parcels": 3000, "seed": 7, "port": 0, "release": 1, "page-rows": 2000}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--file", type=Path, help="serve this polygon file instead of a county")
    parser.add_argument("--oid", default="OBJECTID", help="that file's column of object ids")
    parser.add_argument("--chaos", default="", help="faults, separated by commas; see simulation.chaos")
    parser.add_argument("--chaos-seed", type=int, default=0, help="seed of the faults")
    parser.add_argument("--with-parent", action="store_true", help="end at the end of standard input")
    asyncio.run(_serve(parser.parse_args(arguments)))


async def _serve(options: argparse.Namespace) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.with_parent:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    portal = _portal(options)
    portal.chaos = Chaos(options.chaos.split(","), options.chaos_seed) if options.chaos else None
    async with portal.running(options.port) as address:
        ready: dict[str, Any] = {"address": address, "release": options.release}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _portal(options: argparse.Namespace) -> SimulatedPortal:
    if options.file:
        return SimulatedPortal([ServedLayer.from_file(options.file, oid=options.oid, page_rows=options.page_rows)])
    releases = CountyReleases(options.parcels, options.seed, options.page_rows)
    return county_portal(releases, release=options.release)


if __name__ == "__main__":
    main()
