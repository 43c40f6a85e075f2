"""A small portal on loopback for the inputs of `../shared/cases` and for inputs of the same kinds that tests build:
files, and ArcGIS layers made of a description and of one answer with all rows, whose bytes are kept as they are."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.recorded import RECORDED

CASES = RECORDED.parent / "cases"
BOUNDS = [-71.12, 42.37, -71.08, 42.40]


def case(path: str) -> bytes:
    """A file of `../shared/cases`; where it is missing the test is skipped with one line."""
    found = CASES / path
    if not found.exists():
        pytest.skip(f"inputs from the field are missing: {found}")
    return found.read_bytes()


@dataclass
class ArcgisLayer:
    """A layer whose answers are cut from the bytes of one answer, so that odd bytes stay odd."""

    description: bytes
    answer: bytes
    head: bytes = b""
    rows: list[tuple[int, bytes]] = field(default_factory=list)  # object id, the row's bytes

    def __post_init__(self) -> None:
        if self.rows:
            return
        text = self.answer.decode("latin-1")
        at = text.index('"features"')
        at = text.index("[", at) + 1
        self.head = self.answer[:at]
        id_name = json.loads(self.description)["objectIdField"]
        decoder = json.JSONDecoder(strict=False)
        while (start := text.find("{", at)) != -1:
            row, at = decoder.raw_decode(text, start)
            self.rows.append((row["attributes"][id_name], text[start:at].encode("latin-1")))

    def respond(self, asked: Mapping[str, str]) -> bytes:
        """The answer to a query."""
        if "outStatistics" in asked:
            return b'{"error": {"code": 400, "message": "Unable to perform query"}}'
        if asked.get("returnExtentOnly") == "true":
            return b'{"error": {"code": 400, "message": "not supported"}}'
        chosen = self._chosen(asked)
        if asked.get("returnCountOnly") == "true":
            return json.dumps({"count": len(chosen)}).encode()
        if asked.get("returnIdsOnly") == "true":
            return json.dumps({"objectIdFieldName": "OBJECTID", "objectIds": [number for number, _ in chosen]}).encode()
        start = int(asked.get("resultOffset", 0))
        rows = chosen[start : start + int(asked.get("resultRecordCount", len(chosen) or 1))]
        return self.head + b", ".join(row for _, row in rows) + b"]}"

    def _chosen(self, asked: Mapping[str, str]) -> list[tuple[int, bytes]]:
        if "objectIds" in asked:
            wanted = set(map(int, asked["objectIds"].split(",")))
            return [each for each in self.rows if each[0] in wanted]
        if asked.get("geometryType") == "esriGeometryEnvelope" and '"xmin":0.0' in asked["geometry"]:
            return []  # a place where no county lies
        found = re.fullmatch(r"\w+ >= (\d+) AND \w+ <= (\d+)", asked.get("where", "1=1"))
        low, high = map(int, found.groups()) if found else (-1, 1 << 62)
        return [each for each in self.rows if low <= each[0] <= high]


@dataclass
class CasePortal:
    """Files by name and ArcGIS layers by name; counts what it is asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, ArcgisLayer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def __call__(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        parts = request.path.strip("/").split("/")
        if parts[0] == "files" and parts[1] in self.files:
            return web.Response(body=self.files[parts[1]], headers={"ETag": f'"{len(self.files[parts[1]])}"'})
        layer = self.layers.get(parts[0])
        if layer is None:
            return web.Response(status=404, text="not here")
        form = dict(await request.post()) if request.method == "POST" else dict(request.query)
        body = layer.respond(form) if parts[-1] == "query" else layer.description  # type: ignore[arg-type]
        return web.Response(body=body, headers={"Content-Type": "application/json; charset=utf-8"})

    def layer_url(self, name: str) -> str:
        """The address of a layer."""
        return f"{self.url}/{name}/arcgis/rest/services/T/MapServer/0"

    def file_url(self, name: str) -> str:
        """The address of a file."""
        return f"{self.url}/files/{name}"


@contextmanager
def running(portal: CasePortal) -> Iterator[CasePortal]:
    """The portal in a thread of its own."""
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=1 << 24)

        async def answer(request: web.Request) -> web.Response:
            return await portal(request)

        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        portal.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield portal
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def case_layer(number: str, name: str) -> ArcgisLayer:
    """An ArcGIS layer of `../shared/cases`."""
    return ArcgisLayer(case(f"{number}/{name}-layer.json"), case(f"{number}/{name}-query.json"))


def toml(
    url: str, *, name: str = "us-xx-case", bounds: list[float] | None = None, fields: str = "", **feed: Any
) -> str:
    """A jurisdiction file with a parcels feed like those of the cases."""
    said = {"type": "download", "key": "PIN", **feed, "url": url}
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in said.items())
    fields = fields or '  address = "ADDR"\n  zoning_code = "ZONE_CODE"'
    return f"""id = "{name}"
name = "A case"
bounds = {bounds or BOUNDS}
[feeds.parcels]
{lines}
  [feeds.parcels.fields]
{fields}
[portal]
requests_per_minute = 600000
connections = 4
"""


def box(row: int, columns: int = 5) -> list[list[float]]:
    """The ring of a small lot, each row beside the one before."""
    west, south = -71.1 + row % columns * 6e-4, 42.38 + row // columns * 5e-4
    return [[west, south], [west, south + 5e-4], [west + 6e-4, south + 5e-4], [west + 6e-4, south], [west, south]]


def layer_of(rows: list[dict[str, Any]], **about: Any) -> ArcgisLayer:
    """An ArcGIS layer of rows; the attributes' values may be `Raw` JSON."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    fields = [{"name": "OBJECTID", "type": "esriFieldTypeOID"}]
    fields += [{"name": name, "type": "esriFieldTypeString"} for name in names]
    domains = about.pop("domains", {})
    fields = [each | ({"domain": domains[each["name"]]} if each["name"] in domains else {}) for each in fields]
    about = {
        "currentVersion": 10.81,
        "id": 0,
        "name": "Parcels",
        "type": "Feature Layer",
        "objectIdField": "OBJECTID",
        "geometryType": "esriGeometryPolygon",
        "maxRecordCount": 1000,
        "supportedQueryFormats": "JSON",
        "advancedQueryCapabilities": {"supportsPagination": True, "supportsStatistics": False},
        "extent": {"xmin": -71.1, "ymin": 42.38, "xmax": -71.09, "ymax": 42.39, "spatialReference": {"wkid": 4326}},
        "fields": fields,
        **about,
    }
    features = [
        '{"attributes": {"OBJECTID": %d, %s}, "geometry": {"rings": [%s]}}'  # noqa: UP031 - braces abound
        % (
            number + 1,
            ", ".join(
                f"{json.dumps(name)}: {value if isinstance(value, Raw) else json.dumps(value)}"
                for name, value in row.items()
            ),
            json.dumps(box(number)),
        )
        for number, row in enumerate(rows)
    ]
    head = '{"objectIdFieldName": "OBJECTID", "geometryType": "esriGeometryPolygon", '
    head += '"spatialReference": {"wkid": 4326}, "features": ['
    encoded = [(number + 1, each.encode("utf-8", "surrogateescape")) for number, each in enumerate(features)]
    body = head.encode() + b", ".join(each for _, each in encoded) + b"]}"
    return ArcgisLayer(json.dumps(about).encode(), body, head.encode(), encoded)


class Raw(str):
    """JSON text that goes into an answer as it is; bytes that are no UTF-8 as surrogate escapes."""

    __slots__ = ()


def raw_text(raw: bytes) -> Raw:
    """A JSON string of just these bytes."""
    return Raw('"' + raw.decode("utf-8", "surrogateescape") + '"')


def geojson(rows: list[dict[str, Any]], **members: Any) -> bytes:
    """A GeoJSON file of rows; a row's `geometry` stands for its lot, its values may be `Raw` JSON."""
    features = []
    for number, row in enumerate(rows):
        shape = row.get("geometry", {"type": "Polygon", "coordinates": [box(number)]})
        said = ", ".join(
            f"{json.dumps(name)}: {value if isinstance(value, Raw) else json.dumps(value)}"
            for name, value in row.items()
            if name != "geometry"
        )
        features.append(f'{{"type": "Feature", "properties": {{{said}}}, "geometry": {json.dumps(shape)}}}')
    more = "".join(f", {json.dumps(name)}: {json.dumps(value)}" for name, value in members.items())
    text = f'{{"type": "FeatureCollection"{more}, "features": [{", ".join(features)}]}}'
    return text.encode("utf-8", "surrogateescape")


def lots(count: int = 20, **columns: Any) -> list[dict[str, Any]]:
    """Plain rows like those of the cases; a column may be a function of the row's number."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        row = {"PIN": f"12-{number + 1:03d}", "ADDR": f"{number + 11} Elm St", "ZONE_CODE": ("R-2", "C-1")[number % 2]}
        rows.append(row | {name: value(number) if callable(value) else value for name, value in columns.items()})
    return rows


def written(folder: Path, name: str, text: str) -> Path:
    """A jurisdiction file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path
