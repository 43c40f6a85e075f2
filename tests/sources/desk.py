"""For tests of downloads: a portal on loopback that gives one file, as well or as badly as told; and a request."""

import gzip
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from zoning_assets.http import Client, Http
from zoning_assets.model import PARCELS, Feed, Jurisdiction, Portal
from zoning_assets.sources.source import Request

QUICK = Portal(requests_per_minute=60_000, connections=8)


@dataclass
class FileDesk:
    """Gives `body`; breaks off after `cuts[0]` bytes, then after `cuts[1]`, and so on; keeps what it was asked."""

    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    cuts: list[int] = field(default_factory=list)
    ranges: str = "right"  # right, none, wrong (another range than asked), other (bytes of another file), 416
    packed: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    given: int = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.headers) | {"method": request.method})
        if request.headers.get("If-None-Match") == self.headers.get("ETag", "none"):
            return web.Response(status=304, headers=self.headers)
        start, headers, body = self._start(request), dict(self.headers), self.body
        if start and self.ranges == "416":
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
        if start:
            at = start + 7 if self.ranges == "wrong" else start
            headers["Content-Range"] = f"bytes {at}-{len(body) - 1}/{len(body)}"
            body = bytes(len(body) - start) if self.ranges == "other" else body[start:]
        elif self.packed and "gzip" in request.headers.get("Accept-Encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, 0), "gzip"
        return await self._give(request, body, headers, 206 if start else 200)

    def _start(self, request: web.Request) -> int:
        same = request.headers.get("If-Range") in (self.headers.get("ETag"), self.headers.get("Last-Modified"))
        wanted = request.headers.get("Range", "")
        lies = self.ranges in ("wrong", "other", "416")
        return int(wanted[6:-1]) if wanted.endswith("-") and self.ranges != "none" and (same or lies) else 0

    async def _give(
        self, request: web.Request, body: bytes, headers: dict[str, str], status: int
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        cut = self.cuts.pop(0) if self.cuts else len(body)
        await response.write(body[:cut])
        self.given += len(body[:cut])
        if cut < len(body):
            request.transport.close()
        else:
            await response.write_eof()
        return response


def request_for(url: str, folder: Path, http: Client | None = None, **feed: Any) -> Request:
    """A request for a parcels feed of a jurisdiction about the origin, whose scratch is below `folder`."""
    made = Feed(name=PARCELS, type="download", url=url, **{"key": "ml", **feed})
    file = str(folder / "us-xx-town.toml")
    town = Jurisdiction("us-xx-town", "Town", (-1, -1, 1, 1), {PARCELS: made}, portal=QUICK, file=file)
    return Request(town, made, http or Http().for_work(), folder / "scratch", draft=None)  # type: ignore[arg-type]
