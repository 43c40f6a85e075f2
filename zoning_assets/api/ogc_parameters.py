"""The parameters of features and tiles, checked as the standard asks: 400 for what is not known or not valid.

tipg has functions of its own for these parameters; `OVERRIDES` puts ours in their place.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from ciso8601 import parse_rfc3339
from cql2 import Expr
from fastapi import HTTPException, Path, Query, Request
from morecantile import Tile
from tipg import dependencies as tipg
from tipg.resources.enums import MediaType

from zoning_assets.api import cql2_filter, ogc_crs
from zoning_assets.api.ogc_collections import ServedCollection
from zoning_assets.model import Bounds

#: The deepest zoom level. Parcels are smaller than a tile of level 18.
DEEPEST_ZOOM = 22
#: Parameters that this module adds to tipg's.
ADDED = ("crs", "bbox-crs", "filter-crs")
_LONGEST_IDS = 100
#: The largest page of features, and tipg's own limit.
MOST_FEATURES = 10_000
_LIMIT = re.compile(rb"((?:^|&)limit=)([0-9]{1,400})(?=&|$)")


def known_only(request: Request) -> None:
    """Refuse parameters that the operation does not have.

    Raises:
        HTTPException: 400, the parameter is not known.
    """
    _refuse_others(request, _documented(request))


def _documented(request: Request) -> set[str]:
    """The query parameters that the API document lists for the operation."""
    paths = request.app.openapi()["paths"]
    operation = paths[request.scope["route"].path_format][request.method.lower()]
    return {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}


def _refuse_others(request: Request, known: set[str]) -> None:
    if unknown := set(request.query_params) - known:
        raise HTTPException(400, f"there is no parameter {min(unknown)[:50]!r}")
    if len(request.query_params.multi_items()) > len(request.query_params):
        raise HTTPException(400, "a parameter is given twice")


def collection_of(
    request: Request,
    collectionId: Annotated[str, Path(description="Collection identifier")],  # noqa: N803 - tipg's name
) -> ServedCollection:
    """The collection of a request, with the CRS that its parameter `crs` names.

    Raises:
        HTTPException: 404, there is no such collection; 400, a parameter is not known or not valid.
    """
    found: ServedCollection | None = request.app.state.collections.get(collectionId)
    if found is None:
        raise HTTPException(404, "there is no such collection")
    own = _documented(request)
    if {"crs", "filter"} & own:  # features and tiles
        own |= {each.name for each in found.parameters}
    if "filter" in own:
        own |= set(found.columns())
    _refuse_others(request, own)
    if request.query_params.get("limit") == "0":
        raise HTTPException(400, "limit is at least 1")
    simplify = request.query_params.get("simplify", "0")
    if not simplify.replace(".", "", 1).isdigit():
        raise HTTPException(400, "simplify is not a number of 0 or more")
    crs = ogc_crs.checked(request.query_params.get("crs"), "crs")
    if "crs" in own:
        request.state.content_crs = crs
    return found.model_copy(update={"output_crs": crs})


def _bbox(
    request: Request, bbox: Annotated[str | None, Query(description="Spatial filter: west,south,east,north.")] = None
) -> Bounds | None:
    uri = ogc_crs.checked(request.query_params.get("bbox-crs"), "bbox-crs")
    return ogc_crs.bounds(bbox, uri) if bbox is not None else None


def _filter(
    request: Request,
    query: Annotated[str | None, Query(description="CQL2 filter", alias="filter")] = None,
    language: Annotated[str | None, Query(alias="filter-lang")] = None,
) -> Expr | None:
    if language not in (None, "cql2-text", "cql2-json"):
        raise HTTPException(400, "filter-lang is cql2-text or cql2-json")
    uri = ogc_crs.checked(request.query_params.get("filter-crs"), "filter-crs")
    if query is None:
        return None
    if language and (language == "cql2-json") != query.lstrip().startswith("{"):
        raise HTTPException(400, "the filter is not in the language that filter-lang names")
    found = request.app.state.collections.get(request.path_params.get("collectionId"))
    return cql2_filter.parsed(query, {each.name for each in found.properties} if found else (), uri)


def _datetime(datetime: Annotated[str | None, Query(description="Temporal filter.")] = None) -> list[str] | None:
    if datetime is None:
        return None
    parts = datetime.split("/")
    try:
        ends = [None if each in ("..", "") else parse_rfc3339(each) for each in parts]
    except ValueError:
        raise HTTPException(400, "datetime is not a time of RFC 3339, or an interval of two") from None
    is_interval = len(ends) == 2 and any(ends)
    if not is_interval and (len(ends) != 1 or ends[0] is None):
        raise HTTPException(400, "datetime is not a time of RFC 3339, or an interval of two")
    if all(ends) and ends[0] > ends[-1]:  # type: ignore[operator]
        raise HTTPException(400, "datetime begins after its end")
    return [each or ".." for each in parts]


def _ids(ids: Annotated[str | None, Query(description="Filter by ids.")] = None) -> list[str] | None:
    found = ids.split(",") if ids else None
    if found and len(found) > _LONGEST_IDS:
        raise HTTPException(400, f"more than {_LONGEST_IDS} ids")
    return found


def _tile(
    z: Annotated[int, Path(ge=0, le=DEEPEST_ZOOM, description="Zoom level.")],
    x: Annotated[int, Path(ge=0, lt=2**DEEPEST_ZOOM, description="Column.")],
    y: Annotated[int, Path(ge=0, lt=2**DEEPEST_ZOOM, description="Row.")],
) -> Tile:
    if max(x, y) >= 2**z:
        raise HTTPException(404, "there is no such tile")
    return Tile(x, y, z)


def _only(media_type: MediaType) -> Callable[..., MediaType]:
    """The only format of an answer; `f` may name it. tipg's HTML pages and CSV are not served: they do not escape."""
    names = ("json", "geojson") if media_type is MediaType.geojson else ("json", "schemajson")

    def chosen(f: Annotated[str | None, Query(description=f"Format: {' or '.join(names)}.")] = None) -> MediaType:
        if f not in (None, *names):
            raise HTTPException(400, f"f is {' or '.join(names)}")
        return media_type

    return chosen


def with_served_limit(query: bytes) -> bytes:
    """The query string with the largest `limit` that is served, if it asks for more: the standard refuses none."""
    return _LIMIT.sub(lambda found: found[1] + str(min(int(found[2]), MOST_FEATURES)).encode(), query)


json_only = _only(MediaType.json)

#: tipg's dependency -> ours.
OVERRIDES: Mapping[Callable[..., Any], Callable[..., Any]] = {
    tipg.bbox_query: _bbox,
    tipg.filter_query: _filter,
    tipg.datetime_query: _datetime,
    tipg.ids_query: _ids,
    tipg.TileParams: _tile,
    tipg.OutputType: json_only,
    tipg.QueryablesOutputType: _only(MediaType.schemajson),
    tipg.ItemsOutputType: _only(MediaType.geojson),
}
