"""The costs of runs: stored one by one, and read by period."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from zoning_assets.harvest import Cover
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects

ID = "us-xx-mytown"
MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)


def test_a_period_is_half_open(tmp_path: Path) -> None:
    """Also with times of another zone, and of whole seconds."""
    objects, cover = Objects(str(tmp_path)), Cover(ID, "parcels", {}, {}, harvest="h")
    last_second = (MIDNIGHT - timedelta(seconds=1)).isoformat()
    times = [last_second, MIDNIGHT.isoformat(), "2026-11-02T01:00:00.5+02:00", "2026-11-03T00:00:00+00:00"]
    for number, at in enumerate(times):
        cost = {"requests": 10**number, "bytes": 1, "seconds": 0.5}
        raw_harvests.put_cost(objects, replace(cover, seen=at, cost=cost))
    read = raw_harvests.costs(objects, ID, "parcels", MIDNIGHT, MIDNIGHT + timedelta(days=1))
    assert [each["requests"] for each in read] == [10]
    before = raw_harvests.costs(objects, ID, "parcels", MIDNIGHT - timedelta(days=1), MIDNIGHT)
    assert [each["requests"] for each in before] == [100, 1]
    assert raw_harvests.costs(objects, ID, "zoning", MIDNIGHT, MIDNIGHT) == []
