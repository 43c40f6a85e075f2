"""The operations of OGC API Features and Tiles: tipg's items and tiles, and our documents about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from morecantile.defaults import TileMatrixSets
from morecantile.defaults import tms as all_tile_matrix_sets
from tipg.factory import OGCFeaturesFactory, OGCTilesFactory

from zoning_assets.api import ogc_crs
from zoning_assets.api.json_response import json_response
from zoning_assets.api.ogc_collections import ServedCollection
from zoning_assets.api.ogc_parameters import collection_of, json_only, known_only
from zoning_assets.api.published_places import extent
from zoning_assets.model import Bounds

_FEATURES = "http://www.opengis.net/spec/ogcapi-features-"
_CQL2 = "http://www.opengis.net/spec/cql2/1.0/conf/"
_TILES = "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/"
#: What this server implements; docs/reference/ogc-api.md lists each requirement.
CONFORMANCE = (
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/json",
    "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    *(f"{_FEATURES}1/1.0/conf/{name}" for name in ("core", "geojson")),
    f"{_FEATURES}2/1.0/conf/crs",
    *(f"{_FEATURES}3/1.0/conf/{name}" for name in ("queryables", "queryables-query-parameters", "filter",
        "features-filter")),
    *(f"{_CQL2}{name}" for name in ("cql2-text", "cql2-json", "basic-cql2", "advanced-comparison-operators",
        "case-insensitive-comparison", "basic-spatial-functions", "spatial-functions")),
    *(f"{_TILES}{name}" for name in ("core", "mvt", "tileset", "tilesets-list")),
)  # fmt: skip
_GEOJSON, _SCHEMA, _JSON = "application/geo+json", "application/schema+json", "application/json"
#: One tiling scheme: that of web maps.
_TILE_MATRIX_SETS = TileMatrixSets({"WebMercatorQuad": all_tile_matrix_sets.get("WebMercatorQuad")})


@dataclass
class FeaturesFactory(OGCFeaturesFactory):
    """tipg's items and queryables, with our documents of the collections, which name the CRSs."""

    collection_dependency: Any = field(default=collection_of)
    with_common: bool = False

    def _collections_route(self) -> None:
        @self.router.get("/collections", name="collections", dependencies=_CHECKED, tags=[_TAG])
        def collections(request: Request) -> Response:
            """List the collections."""
            base, bounds = _base(request), extent(request)
            listed = [_document(each, base, bounds) for each in request.app.state.collections.values()]
            links = [_link(f"{base}/collections", "self", _JSON)]
            return json_response(request, {"links": links, "crs": list(ogc_crs.SUPPORTED), "collections": listed})

    def _collection_route(self) -> None:
        @self.router.get("/collections/{collectionId}", name="collection", dependencies=_AS_JSON, tags=[_TAG])
        def collection(request: Request, of: _Collection) -> Response:
            """Describe a collection."""
            return json_response(request, _document(of, _base(request), extent(request)))


_TAG = "OGC Features API"
_AS_JSON = [Depends(json_only)]
_CHECKED = [Depends(known_only), *_AS_JSON]
_Collection = Annotated[ServedCollection, Depends(collection_of)]


def router() -> APIRouter:
    """All operations; the page's own landing page is in page_routes.py."""
    found = APIRouter()
    found.include_router(FeaturesFactory().router)
    tiles = OGCTilesFactory(
        collection_dependency=collection_of,
        supported_tms=_TILE_MATRIX_SETS,
        with_viewer=False,
        with_common=False,
    )
    found.include_router(tiles.router)

    @found.get("/conformance", dependencies=_CHECKED, tags=["OGC Common"])
    async def conformance(request: Request) -> Response:
        """List the conformance classes."""
        return json_response(request, {"conformsTo": CONFORMANCE})

    return found


def landing(request: Request) -> Mapping[str, Any]:
    """The landing page of OGC API Common as JSON."""
    base = _base(request)
    links = [
        _link(f"{base}/?f=json", "self", _JSON, "This document"),
        _link(f"{base}/", "alternate", "text/html", "The map"),
        _link(f"{base}/openapi.json", "service-desc", "application/vnd.oai.openapi+json;version=3.1", "The API"),
        _link(f"{base}/conformance", "conformance", _JSON, "Conformance classes"),
        _link(f"{base}/collections", "data", _JSON, "Collections"),
    ]
    return {"title": "zoning_assets", "description": "Parcels, zoning, and what changed.", "links": links}


def _document(collection: ServedCollection, base: str, bounds: Bounds | None) -> dict[str, Any]:
    """Describe a collection: links, extent (CRS84), CRSs."""
    at = f"{base}/collections/{collection.id}"
    links = [
        _link(at, "self", _JSON),
        _link(f"{at}/items", "items", _GEOJSON, "The features"),
        _link(f"{at}/queryables", "http://www.opengis.net/def/rel/ogc/1.0/queryables", _SCHEMA, "The columns"),
        _link(f"{at}/tiles", "http://www.opengis.net/def/rel/ogc/1.0/tilesets-vector", _JSON, "Vector tiles"),
    ]
    found: dict[str, Any] = {
        "id": collection.id,
        "title": collection.title,
        "description": collection.description,
        "itemType": "feature",
        "crs": list(ogc_crs.SUPPORTED),
        "storageCrs": ogc_crs.CRS84,
        "links": links,
    }
    if bounds:
        found["extent"] = {"spatial": {"bbox": [list(bounds)], "crs": ogc_crs.CRS84}}
    return found


def _link(href: str, rel: str, media_type: str, title: str | None = None) -> dict[str, str]:
    return {"href": href, "rel": rel, "type": media_type, **({"title": title} if title else {})}


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")
