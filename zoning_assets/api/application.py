"""The FastAPI application: routes, the database sessions of tipg, and the guard around everything."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import Depends, FastAPI

from zoning_assets.api import (
    change_routes,
    map_routes,
    ogc_endpoints,
    page_routes,
    parcel_routes,
    problems,
    review_routes,
    status_routes,
)
from zoning_assets.api.api_document import openapi
from zoning_assets.api.ogc_parameters import OVERRIDES, known_only
from zoning_assets.api.program_version import program_version
from zoning_assets.api.published_state import PublishedState
from zoning_assets.api.read_pool import read_collections, read_pool
from zoning_assets.api.request_guard import RequestGuard
from zoning_assets.api.server_settings import ServerSettings

#: Operations of the JSON API that run at the same time; each has one session of the database.
_THREADS = 8


def application(settings: ServerSettings) -> FastAPI:
    """The application. Its sessions of the database are opened when it starts, and closed when it ends."""
    state = PublishedState()
    app = FastAPI(
        title="zoning_assets",
        version=program_version(),
        summary="Parcels, zoning and what changed: OGC API Features, vector tiles, and a JSON API.",
        openapi_url="/openapi.json",
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
        lifespan=_opened,
    )
    app.state.settings, app.state.published, app.state.collections = settings, state, {}
    app.dependency_overrides.update(OVERRIDES)
    problems.register(app)
    for each in (change_routes, parcel_routes, map_routes, status_routes, review_routes):
        app.include_router(each.router, dependencies=[Depends(known_only)])
    app.include_router(ogc_endpoints.router())
    app.include_router(page_routes.router)  # the page's own parameters stand in its address
    app.add_middleware(RequestGuard, settings=settings, state=state)
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _opened(app: FastAPI) -> AsyncIterator[None]:
    """Read the columns of the collections, then keep a pool of read-only sessions for tipg."""
    settings: ServerSettings = app.state.settings
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    app.state.collections = await read_collections(settings.primary_url or settings.read_url)
    async with read_pool(settings.read_url, settings.connections) as pool:
        app.state.pool = app.state.published.pool = pool
        yield
