"""Mutated answers of OGC API and WFS servers in the middle of a harvest: just the rows, or a refusal in one line."""

import asyncio
import random
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.sources.ogc_api_features.fake_ogc import FakeOgc
from tests.sources.ogc_api_features.ogc_request import lots, same
from tests.sources.portals import BOUNDS, PORTAL
from tests.sources.wfs.fake_wfs import FakeWfs
from tests.support.sampling import examples
from zoning_assets.errors import FeedRefused, PortalUnreachable, ZoningError
from zoning_assets.http import Response
from zoning_assets.model import PARCELS, Feed, Jurisdiction, Place
from zoning_assets.sources.ogc_api_features import ogc_source
from zoning_assets.sources.source import Request
from zoning_assets.sources.wfs import wfs_source
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects

SERVED = lots(40, shapeless=11)
SERVERS: dict[str, Any] = {
    "ogc-features": lambda: FakeOgc(SERVED),
    "ogc-features uncounted": lambda: FakeOgc(SERVED, counts=None),
    "wfs geojson": lambda: FakeWfs(SERVED),
    "wfs gml": lambda: FakeWfs(SERVED, formats=()),
    "wfs 1.1 uncounted": lambda: FakeWfs(SERVED, formats=(), versions=("1.1.0",), hits="unknown"),
}
SEAMS = (b"<", b">", b'"', b"{", b"[", b",", b" ", b"/")


class Canned:
    """The client, without a network; one answer in so many is damaged in a way that leaves no row's text as it was."""

    def __init__(self, server: Any, seed: int, one_in: int) -> None:
        self.server, self.chance, self.one_in, self.asked = server, random.Random(seed), one_in, 0

    def stopped(self, _where: str) -> None:
        return None

    async def query(
        self, _portal: Any, url: str, params: dict[str, str], *, read: Any, also: Any = (), **_: Any
    ) -> Response:
        self.asked += 1
        assert self.asked < 500, "an endless walk"
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query)) | dict(params)
        response = await self.server(SimpleNamespace(path=parts.path, query=query, host=parts.netloc))
        body = response.body if isinstance(response.body, bytes) else response.text.encode()
        if response.status != 200 and response.status not in also:
            raise FeedRefused(f"HTTP {response.status}", where=url, do="x")
        if response.status == 200 and self.chance.randrange(self.one_in) == 0:
            body = self.damaged(body)
        try:
            return Response(response.status, response.headers, body, read(body) if response.status == 200 else None)
        except ValueError as error:  # the client asks again, and then gives up
            raise PortalUnreachable(str(error), where=url, do="x") from error

    def damaged(self, body: bytes) -> bytes:
        """Cut, a piece lost, doubled or moved between two seams, or a page's worth of something else."""
        seams = [i for i, byte in enumerate(body) if bytes([byte]) in SEAMS] or [0]
        one, other = sorted(self.chance.choice(seams) for _ in range(2))
        piece = body[one:other]
        return self.chance.choice(
            [
                body[:one],
                body[:one] + body[other:],
                body[:other] + piece + body[other:],
                body[:one] + piece[::-1] + body[other:],
                b"<html>busy</html>",
                b'{"code":"Busy","description":"try again"}',
                b"",
            ]
        )


async def harvest(name: str, seed: int, one_in: int) -> bool | None:
    """Whether the rows are just those that were served; None where they were refused by name."""
    kind, module = ("wfs", wfs_source) if name.startswith("wfs") else ("ogc-features", ogc_source)
    path = "/wfs" if kind == "wfs" else "/api/collections/lots"
    http = Canned(SERVERS[name](), seed, one_in)
    with tempfile.TemporaryDirectory() as folder:
        feed = Feed(PARCELS, kind, f"https://data.example.org{path}", key="pin", page_size=15, layer="lots")
        jurisdiction = Jurisdiction("us-ma-cambridge", "Cambridge", BOUNDS, {PARCELS: feed}, portal=PORTAL)
        draft = HarvestDraft(Objects(f"{folder}/store"), Place(jurisdiction.id), PARCELS)
        try:
            whole = await module.open_source(Request(jurisdiction, feed, http, Path(folder) / "scratch", draft))
        except ZoningError:
            return None
        return len(list(whole.here.batches())) > 0 and whole.here.rows == len(SERVED) and _kept(whole)


def _kept(whole: Any) -> bool:
    """The rows are those served; a damaged page may have changed words in them, but neither added nor lost any."""
    return same(whole, SERVED) or sum(map(len, whole.here.batches())) == len(SERVED)


@pytest.mark.parametrize("name", SERVERS)
async def test_answers_that_are_not_mutated_are_proven(name: str) -> None:
    """So that what follows is the mutations' doing."""
    assert await harvest(name, 0, 10**9) is True


@pytest.mark.parametrize("name", SERVERS)
@settings(max_examples=examples(15), suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), one_in=st.sampled_from([2, 5, 9]))
@example(seed=229728, one_in=2)  # the properties of a row became text
def test_mutated_answers_are_proven_or_refused(name: str, seed: int, one_in: int) -> None:
    """A row lost, doubled or cut short anywhere is found out; never one row too few."""
    assert asyncio.run(harvest(name, seed, one_in)) in (True, None)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SERVERS)
@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), one_in=st.sampled_from([2, 5, 9, 15]))
def test_very_many_mutated_answers_are_proven_or_refused(name: str, seed: int, one_in: int) -> None:
    """The same, a thousand times."""
    assert asyncio.run(harvest(name, seed, one_in)) in (True, None)
