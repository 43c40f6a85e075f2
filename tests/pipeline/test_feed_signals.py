"""The signals of a feed that has several layers: they are worth what the weakest of them is worth."""

from dataclasses import dataclass
from typing import Any

import pytest

from zoning_assets.model import ZONING, Feed
from zoning_assets.pipeline import feed_signals


@dataclass(frozen=True)
class SimpleRequest:
    """What a probe reads of a request."""

    feed: Feed


@pytest.mark.parametrize("without", [ZONING, "overlay-flood"])
async def test_a_layer_without_signals_is_fetched(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the other layers of the map have some; else its changes would not be seen."""
    known = {ZONING: {"etag": "1"}, "overlay-flood": {"etag": "2"}}

    class FeedType:
        async def probe(self, request: Any) -> dict[str, Any]:
            return known[request.feed.name]

    monkeypatch.setattr(feed_signals, "feed_type", lambda _: FeedType())
    flood = Feed("overlay-flood", "download", "flood.geojson")
    request: Any = SimpleRequest(Feed(ZONING, "download", "map.geojson", overlays={"flood": flood}))
    assert await feed_signals.probed(request) == {"etag": "1", "overlay flood etag": "2"}
    known[without] = {}
    assert await feed_signals.probed(request) == {}
