"""A small nation for some hours: no host is asked too much, every release is published, and ticks stay bounded."""

import asyncio
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import pytest

from benchmarks import nation_portals, nation_year, virtual_time
from benchmarks.nation import BUDGET, measure
from benchmarks.nation_portals import County
from benchmarks.nation_world import CannedPipeline, World
from tests.support.shared_data import need
from zoning_assets.defs.sensors import probe_results, probe_schedule
from zoning_assets.defs.sensors.probe_schedule import ProbeState, WatchedFeed
from zoning_assets.model import Feed, Jurisdiction
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import BOUNDS

if TYPE_CHECKING:
    from zoning_assets.pipeline.pipeline import Pipeline

_HOUR_S = 3600.0


def nation(number: int) -> list[County]:
    """Counties that are probed every two hours and publish new parcels once; the third is away, the fourth pushes back.
    The first half is on one host, as counties are in reality."""
    found = []
    for place, each in enumerate(nation_portals.counties(number, 0.2)):
        described = replace(
            each,
            parcels=min(each.parcels, 20_000),
            host="shared.example.org" if place < number // 2 else f"{each.id}.example.org",
            releases={"parcels": (600.0 + 60 * place,), "zoning": ()},
            away=(0.0, 1.5 * _HOUR_S) if place == 2 else None,
            storm=(0.0, 2 * _HOUR_S) if place == 3 else None,
            maintenance=None,
            probe_hours=2,
        )
        found.append(described)
    return found


def test_a_small_nation(database: str, tmp_path: Path) -> None:
    """Ticks every ten minutes. A host that many counties share is probed at its pace, and does not delay the others."""
    found = measure(nation(24), 0.21, database, tmp_path, lambda _: None, executed=40, every=10)
    assert found["faults"] == []
    assert found["most_a_minute"] <= BUDGET
    assert found["releases_published"] == found["releases"] == 24
    assert found["runs"] < 24 * 4, "find_tiles, publish_parcels, tell_changes; the third and the fourth portal again"
    ticks = {row["sensor"]: row for row in found["sensors"]}
    assert ticks["feed_changed"]["runs_requested"] >= 24
    assert ticks["feed_changed"]["max_s"] < 60, "the time of a tick, with the simulated waits for portals"
    executed = {row["job"] for row in found["rows"]["of_jobs"]}
    assert executed >= {"find_tiles", "publish_parcels"}, "Dagster has executed the first runs"


def test_the_probes_of_a_shared_host_end_in_time() -> None:
    """All are due at once. Each tick begins what the host's pace permits, so that none fails by waiting for others."""
    counties = [replace(each, host="shared.example.org") for each in nation(30) if each.answers(0.0) and not each.storm]
    world = World({each.id: each for each in counties}, Settings.of({}), "")
    described = [_described(each) for each in counties]
    feeds = [WatchedFeed(each, feed) for each in described for feed in each.feeds]
    world.harvested = {feed.key: 0.0 for feed in feeds}
    cursor, minutes = dict[str, ProbeState](), 0
    while waiting := probe_schedule.due(cursor, {}, feeds, (), world.clock.now()):
        now = world.clock.now()
        with virtual_time.simulated(world.clock):
            found = asyncio.run(probe_results.probe_feeds(cast("Pipeline", CannedPipeline(world)), waiting, now))
        assert [answer for _, answer in found if isinstance(answer, Exception)] == []
        cursor |= {feed.key: ProbeState("2030-01-01T00:00:00+00:00") for feed, _ in found}
        minutes += 1
        assert world.clock.seconds < minutes * 60, "a tick ends before the next one"
        world.clock.advance(minutes * 60)
    assert minutes == math.ceil(len(feeds) / 3), "30 requests a minute, three of them a probe"


def _described(county: County) -> Jurisdiction:
    feeds = {name: Feed(name, "arcgis", f"https://{county.host}/{county.id}/{name}") for name in county.releases}
    return Jurisdiction(county.id, county.id, BOUNDS, feeds)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_larger_nation(database: str, tmp_path: Path) -> None:
    counties = nation_portals.counties(200, 1.5)
    found = measure(counties, 1.5, database, tmp_path, print, executed=20)
    assert found["faults"] == []
    assert found["most_a_minute"] <= BUDGET
    assert found["releases_published"] > 10
    cursor = next(row["cursor_bytes_most"] for row in found["sensors"] if row["sensor"] == "feed_changed")
    assert cursor < 200 * 2 * 60, "Dagster stores it with each tick"


def test_a_cold_start_is_limited_by_the_shared_hosts() -> None:
    """More runs at once do not help the host that most counties share: it takes the time of its requests."""
    counties = [each for each in nation_portals.counties(400, 30) if each.answers(0.0)]
    few, many = (nation_year.start_cold(counties, slots) for slots in (1, 64))
    assert few["harvests"] == many["harvests"] == 2 * len(counties)
    requests = Counter[str]()
    for each in counties:
        requests[each.host] += each.requests("parcels") + each.requests("zoning")
    least_days = max(requests.values()) / 30 / 1440
    assert least_days < many["days"] < few["days"]


def test_a_month_of_releases_is_published() -> None:
    counties = nation_portals.counties(60, 30)
    found = nation_year.simulate(counties, 30, 4)
    assert found["release_to_published_hours"]["median"] < 24 * 1.1 + 1
    assert found["harvests"] > 60
    assert found["slots_busy"] < 1


def test_hosts_are_shared_as_in_reality() -> None:
    """Counted in the source files of OpenAddresses that lie beside a clone."""
    files = sorted(need("openaddresses_us").glob("*.json"))
    hosts = Counter(map(_host, files))
    shared = sorted((count for count in hosts.values() if count > 1), reverse=True)
    assert (tuple(shared), len(files)) == (nation_portals.SHARED_HOSTS, nation_portals.SAMPLE)


def _host(file: Path) -> str | None:
    layers = json.loads(file.read_text())["layers"]
    return urlsplit((layers.get("parcels") or layers["addresses"])[0]["data"]).hostname
