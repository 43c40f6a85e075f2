"""The signals of a feed that has several layers: they are worth what the weakest of them is worth."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from zoning_assets.model import ZONING, Feed, Jurisdiction
from zoning_assets.pipeline import feed_signals
from zoning_assets.sources.source import selection_of


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


@pytest.mark.parametrize("other", [{"url": "other.gpkg"}, {"layer": "of 2026"}, {"where": "TOWN = 1"}])
def test_other_rows_are_another_state(other: dict[str, str]) -> None:
    """Another layer of the same file or service may state the same count and have the same signals."""
    feed = Feed(ZONING, "download", "map.gpkg", layer="of 2025")
    place = Jurisdiction("us-xx-mytown", "My Town", (0, 0, 1, 1), {})
    before, after = (feed_signals.settings_of(place, each) for each in (feed, replace(feed, **other)))
    assert before != after
    assert selection_of(feed) != selection_of(replace(feed, **other))
