"""A layer with far fewer rows waits for a person; a probe decides whether a feed has to be fetched."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from zoning_assets.errors import AcceptanceNeeded, NothingWaits
from zoning_assets.model import Feed
from zoning_assets.storage.object_store import feed_baselines
from zoning_assets.storage.object_store.feed_baselines import Baseline
from zoning_assets.storage.object_store.object_store import Objects

FEED = Feed("parcels", "arcgis", "https://gis.example.org/0", key="PIN")
NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(str(tmp_path))


def guard(objects: Objects, rows: int, **changes: object) -> None:
    feed_baselines.check_row_count(objects, "us-xx-a", replace(FEED, **changes), rows)


@pytest.mark.parametrize(
    ("rows", "fine"), [(1000, True), (901, True), (900, False), (1, False), (0, False), (9000, True)]
)
def test_a_drop_by_a_tenth_waits_for_a_person(objects: Objects, rows: int, fine: bool) -> None:
    """The limit of OpenAddresses: a smaller drop is accepted, from the limit on nothing is retired without a person."""
    feed_baselines.put(objects, "us-xx-a", "parcels", Baseline(1000, None, NOW.isoformat()))
    if fine:
        guard(objects, rows)
    else:
        with pytest.raises(AcceptanceNeeded, match="zoning accept us-xx-a --feed parcels"):
            guard(objects, rows)


def test_an_empty_layer_is_refused_at_the_first_harvest(objects: Objects) -> None:
    """An empty layer is more often an error of the portal than an empty county."""
    with pytest.raises(AcceptanceNeeded, match="has 0 rows"):
        guard(objects, 0)
    guard(objects, 1)


def test_a_map_is_refused_only_if_it_is_empty(objects: Objects) -> None:
    """Districts are often merged, so their number is not checked before the fetch."""
    feed_baselines.put(objects, "us-xx-a", "zoning", Baseline(297, None, NOW.isoformat()))
    guard(objects, 254, name="zoning")
    guard(objects, 1, name="zoning")
    with pytest.raises(AcceptanceNeeded, match="zoning accept us-xx-a --feed zoning"):
        guard(objects, 0, name="zoning")


def test_the_jurisdiction_file_can_change_the_limit(objects: Objects) -> None:
    """`may_shrink = 1` never refuses, `may_shrink = 0.5` refuses from a half on."""
    feed_baselines.put(objects, "us-xx-a", "parcels", Baseline(1000, None, NOW.isoformat()))
    guard(objects, 0, may_shrink=1.0)
    guard(objects, 501, may_shrink=0.5)
    with pytest.raises(AcceptanceNeeded):
        guard(objects, 500, may_shrink=0.5)


def test_an_accepted_row_count_is_the_new_baseline(objects: Objects) -> None:
    """The accepted number passes; another drop from there is refused; nothing can be accepted twice."""
    feed_baselines.put(objects, "us-xx-a", "parcels", Baseline(1000, {"count": 1000}, NOW.isoformat()))
    with pytest.raises(AcceptanceNeeded):
        guard(objects, 400)
    assert feed_baselines.accept(objects, "us-xx-a", "parcels", "ann", "two towns left the county") == (1000, 400)
    guard(objects, 400)
    with pytest.raises(AcceptanceNeeded):
        guard(objects, 300)
    found = feed_baselines.find(objects, "us-xx-a", "parcels")
    assert found
    assert (found.accepted_by, found.reason) == ("ann", "two towns left the county")
    with pytest.raises(NothingWaits):
        feed_baselines.accept(objects, "us-xx-b", "parcels", "ann", "x")


def test_unchanged_signals_avoid_a_fetch_only_for_a_limited_time() -> None:
    """After `full_refresh_days` unchanged signals do not count; a changed signal is named."""
    before = Baseline(10, {"count": 10, "edited": 5}, NOW.isoformat())
    soon, late = NOW + timedelta(days=29), NOW + timedelta(days=31)
    assert feed_baselines.fetch_reason(before, {"count": 10, "edited": 5}, 30, soon) is None
    assert feed_baselines.fetch_reason(before, {"count": 10, "edited": 6}, 30, soon) == "edited 5 -> 6"
    assert feed_baselines.fetch_reason(before, {"count": 10}, 30, soon) == "edited 5 -> None"
    assert "30 days" in str(feed_baselines.fetch_reason(before, {"count": 10, "edited": 5}, 30, late))
    assert feed_baselines.fetch_reason(None, {}, 30, soon) == "it was not harvested yet"
    assert "gives no change signals" in str(
        feed_baselines.fetch_reason(Baseline(10, {}, NOW.isoformat()), {}, 30, soon)
    )


def test_a_restored_database_is_older_than_its_store() -> None:
    """It does not know of the publication that the store tells of. Earlier versions stored no such time."""
    published = Baseline(10, {}, NOW.isoformat(), NOW.isoformat())
    assert feed_baselines.database_is_older(published, None)
    assert feed_baselines.database_is_older(published, NOW - timedelta(seconds=1))
    assert not feed_baselines.database_is_older(published, NOW)
    assert not feed_baselines.database_is_older(Baseline(10, {}, NOW.isoformat()), None)
    assert not feed_baselines.database_is_older(None, NOW)
