"""For tests of feed types: a request to a portal on loopback, without waiting; and lots to serve."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import shapely

from tests.support.http_client import plain_client
from tests.support.http_desk import Answers, Clock, served
from zoning_assets.harvest import Page
from zoning_assets.model import PARCELS, Feed, Jurisdiction, Place, Portal
from zoning_assets.sources.full_layer import FullLayer, page_of
from zoning_assets.sources.source import Request, Source
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform import normalize
from zoning_assets.transform.decode import page_readers

BOUNDS = (-71.17, 42.35, -71.06, 42.41)
PORTAL = Portal(requests_per_minute=600_000, connections=8)


class Counted:
    """Answers, and what was asked for: path and query."""

    def __init__(self, answers: Answers) -> None:
        self.answers, self.asked = answers, []

    async def __call__(self, request: Any) -> Any:
        self.asked.append((request.path, dict(request.query)))
        return await self.answers(request)


@asynccontextmanager
async def asking(answers: Answers, path: str, folder: Path, **feed: Any) -> AsyncIterator[Request]:
    """A request for the feed at a path of a portal that answers so."""
    clock = Clock()
    usual = {"sleep": clock.sleep, "jitter": lambda: 1.0, "clock": clock}
    async with served(answers) as url, plain_client(**usual) as http:
        described = Feed(PARCELS, feed.pop("type", "socrata"), url.removesuffix("/layer") + path, **feed)
        jurisdiction = Jurisdiction("us-ma-cambridge", "Cambridge", BOUNDS, {PARCELS: described}, portal=PORTAL)
        draft = HarvestDraft(Objects(str(folder / "store")), Place(jurisdiction.id), PARCELS)
        yield Request(jurisdiction, described, http, folder / "scratch", draft)


@contextmanager
def served_aside(answers: Answers) -> Iterator[str]:
    """The address of a server in a thread of its own, for tests that run loops of their own."""
    ready, stop = threading.Event(), asyncio.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        found["loop"] = asyncio.get_running_loop()
        async with served(answers) as url:
            found["url"] = url.removesuffix("/layer")
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield found["url"]
    finally:
        found["loop"].call_soon_threadsafe(stop.set)
        thread.join()


def lots(number: int) -> list[tuple[str, shapely.Polygon]]:
    """So many keys and squares of some 8 m in Cambridge, degrees."""
    corners = ((-71.15 + (i % 200) * 2e-4, 42.36 + (i // 200) * 2e-4) for i in range(number))
    return [(f"pin-{i:06d}", shapely.box(x, y, x + 1e-4, y + 1e-4)) for i, (x, y) in enumerate(corners)]


def rows_of(whole: FullLayer) -> dict[str, shapely.Geometry]:
    """Each row of an opened feed: its key and shape."""
    found = {}
    for batch in whole.here.batches():
        rows = page_readers.READERS[whole.form](page_of(batch), whole.layer)
        for row, shape in zip(rows.attributes, rows.geometry, strict=True):
            key = normalize.key_of(row.get(whole.request.feed.key or ""))
            assert key not in found
            found[key] = shape
    return found


async def count_of(source: Source) -> int:
    """How many rows an opened feed gives, page by page."""

    class Kept:
        pages: list[Page] = []  # noqa: RUF012 - of this class alone

        def add(self, body: bytes, *, rows: int, question: Any = None) -> Page:  # noqa: ARG002
            return Page("", rows, len(body))

    return sum([page.rows async for page in source.pages(Kept(), {})])
