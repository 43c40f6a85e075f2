"""The page, its files, and the landing page of the OGC API. Only the files that are listed here are served."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response

from zoning_assets.api.json_response import json_response, tagged
from zoning_assets.api.ogc_endpoints import landing
from zoning_assets.errors import MachineRefused

router = APIRouter(tags=["Page"])

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
}


@router.get("/", responses={200: {"content": {"text/html": {}, "application/json": {}}}})
def root(request: Request, f: Annotated[str | None, Query(description="Format: json or html.")] = None) -> Response:
    """Show the map, and the landing page of the OGC API to a client that accepts JSON."""
    if f not in (None, "json", "html"):
        raise HTTPException(400, "f is json or html")
    accepted = request.headers.get("accept", "")
    is_html = f == "html" or (f is None and ("text/html" in accepted or "json" not in accepted))
    return _file(request, "index.html") if is_html else json_response(request, landing(request))


@router.get("/parcel/{jurisdiction}/{parcel_id:path}", include_in_schema=False)
def permalink(request: Request) -> Response:
    """Show the map with a parcel: the page reads its address."""
    return _file(request, "index.html")


@router.get("/static/{name:path}", include_in_schema=False)
def static(request: Request, name: str) -> Response:
    """Send a file of the page, or of MapLibre GL."""
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    found = _known().get(name)
    if found is None:
        raise HTTPException(404, "there is no such file")
    suffix = name[name.rindex(".") :]
    return tagged(request, _content(found), _TYPES[suffix])


@cache
def _known() -> Mapping[str, Traversable]:
    """The files by name."""
    page, library = files("zoning_assets.api") / "page", _library() / "srcjs"
    found: dict[str, Traversable] = {name: library / name for name in ("maplibre-gl.js", "maplibre-gl.css")}
    for each in page.iterdir() if page.is_dir() else ():
        if each.is_file() and any(each.name.endswith(suffix) for suffix in _TYPES):
            found[each.name] = each
    return found


def _library() -> Path:
    """The folder of the package maplibre, which is not imported: its Python part needs other packages."""
    found = find_spec("maplibre")
    if found is None or found.origin is None:
        raise MachineRefused("the package maplibre is missing", where="zoning serve", do="install zoning-assets again")
    return Path(found.origin).parent


def _content(found: Traversable) -> bytes:
    return found.read_bytes()
